// Command create registers a field and lists the account's sources.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/meti-go/meti/api"
)

func main() {
	ctx := context.Background()
	client, err := api.New(api.FromEnv())
	if err != nil {
		log.Fatal(err)
	}

	created, err := client.Sources.Create(ctx, api.SourceCreateFeatures{
		FeatureCollection: api.FeatureCollection{Features: []api.Feature{{
			ID: "north-40",
			Properties: api.FeatureProperties{
				StartAt: api.Date(2026, time.January, 1),
				EndAt:   api.Date(2027, time.January, 1),
			},
			Geometry: json.RawMessage(`{"type":"Polygon","coordinates":[[[-93.62,42.05],[-93.61,42.05],[-93.61,42.06],[-93.62,42.06],[-93.62,42.05]]]}`),
		}}},
	})
	if errors.Is(err, api.ErrOutcomeUnknown) {
		log.Fatal("METI may have registered it, or not: ", err)
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(created[0])

	for source, err := range client.Sources.All(ctx, api.AllParams{}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(source)
	}
}
