// Command factspage writes docs/facts.md.
//
//	go run ./internal/doctor/factspage docs/facts.md
package main

import (
	"log"
	"os"

	"github.com/meti-go/meti"
	"github.com/meti-go/meti/internal/doctor"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("factspage: ")
	if len(os.Args) != 2 {
		log.Fatal("usage: factspage FILE")
	}
	page, err := doctor.Page(meti.OpenAPI, os.DirFS("testdata/recorded"))
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(os.Args[1], []byte(page), 0o644); err != nil {
		log.Fatal(err)
	}
}
