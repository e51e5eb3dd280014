// Command meti is the METI API on the command line: sources, tokens, checks,
// and an emulator to try it all on.
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], standard()))
}
