// Command sdk lists with this SDK, or reads and discards. It is a program of its
// own, so that its memory is not that of the peers' libraries.
package main

import (
	"context"

	"golang.org/x/oauth2"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/bench/internal/way"
)

func main() {
	way.Main(map[string]func(way.Listing) (way.Count, error){"this SDK": sdk, "floor": way.Floor})
}

func sdk(l way.Listing) (c way.Count, err error) {
	client, err := api.New(api.WithBaseURL(l.Base), api.WithHTTPClient(l.Client),
		api.WithTokenSource(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "token"})))
	if err != nil {
		return c, err
	}
	for source, err := range client.Sources.All(context.Background(), api.AllParams{PageSize: l.Page, InFlight: l.InFlight}) {
		if err != nil {
			return c, err
		}
		c.Sources++
		if !l.Coordinates {
			continue
		}
		polygons, err := source.Polygons()
		if err != nil {
			return c, err
		}
		for _, polygon := range polygons {
			for _, ring := range polygon {
				c.Ring(ring)
			}
		}
	}
	return c, nil
}
