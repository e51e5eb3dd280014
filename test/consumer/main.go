// Command consumer lists sources with the generated client, bare, and tokens
// from package authn.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/meti-go/meti/authn"
	"github.com/meti-go/meti/gen"
)

func main() {
	config, err := authn.FromEnv()
	if err != nil {
		log.Fatal(err)
	}
	tokens, err := authn.New(config)
	if err != nil {
		log.Fatal(err)
	}
	client, err := gen.NewClientWithResponses(config.BaseURL, gen.WithRequestEditorFn(tokens.Edit))
	if err != nil {
		log.Fatal(err)
	}

	methodology := "Agriculture"
	answer, err := client.ListSourcesWithResponse(context.Background(), &gen.ListSourcesParams{Methodology: &methodology})
	if err != nil {
		log.Fatal(err)
	}
	if answer.JSON200 == nil {
		log.Fatal(answer.Status(), " ", string(answer.Body))
	}
	for _, source := range *answer.JSON200 {
		fmt.Println(source.ID, source.AltID)
	}
}
