package filestore_test

import (
	"fmt"
	"log"
	"os"

	"github.com/meti-go/meti/authn"
	"github.com/meti-go/meti/authn/filestore"
	"github.com/meti-go/meti/emulator"
	"github.com/meti-go/meti/internal/emulated"
)

// The runs of a program share one token, in a file that only their user can
// read. The folder is filestore.Dir's, but for this example.
func ExampleNew() {
	server := emulated.Start(emulator.Options{})
	defer server.Close()
	dir, err := os.MkdirTemp("", "tokens-*")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	for range 3 {
		config, err := authn.FromEnv()
		if err != nil {
			log.Fatal(err)
		}
		config.Store = filestore.New(dir)
		tokens, err := authn.New(config)
		if err != nil {
			log.Fatal(err)
		}
		if _, err := tokens.Token(); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("tokens asked for:", server.Requests()["requestToken"])
	// Output: tokens asked for: 1
}
