// Command quickstart lists the account's sources.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/meti-go/meti/api"
)

func main() {
	ctx := context.Background()

	client, err := api.New(api.FromEnv())
	if err != nil {
		log.Fatal(err)
	}
	for source, err := range client.Sources.All(ctx, api.AllParams{}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(source.ID, source.AltID, source.Country, source.InConflict())
	}
}
