// Package own stands for a program of one's own that uses METI; its test shows
// how to test one.
package own

import (
	"context"
	"encoding/json"
	"time"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/wire"
)

// Register registers a field for 2026 and says whether it is in conflict.
func Register(ctx context.Context, client *api.Client, name, boundary string) (id string, conflict bool, err error) {
	created, err := client.Sources.Create(ctx, api.SourceCreateFeatures{
		FeatureCollection: api.FeatureCollection{Features: []api.Feature{{
			ID: name,
			Properties: api.FeatureProperties{
				StartAt: wire.Date(2026, time.January, 1),
				EndAt:   wire.Date(2027, time.January, 1),
			},
			Geometry: json.RawMessage(boundary),
		}}},
	})
	if err != nil {
		return "", false, err
	}
	return created[0].ID, created[0].InConflict(), nil
}
