package emulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"

	"github.com/meti-go/meti/internal/scan"
)

// seed registers [Options.Sources] in a store that never had a source.
func (s *Server) seed() error {
	const together = 1000
	sv := &service{server: s, store: s.production}
	ever, err := s.production.ids("SELECT seq FROM sqlite_sequence")
	if err != nil || len(ever) > 0 {
		return err
	}
	number := 0
	var news []newcomer
	one := func(m members) error {
		number++
		n, err := sv.seedling(m)
		if err != nil {
			return fmt.Errorf("emulator: source %d: %w", number, err)
		}
		if news = append(news, n...); len(news) >= together {
			_, err = sv.store.register(news, s.Now, math.MaxInt64)
			news = nil
		}
		return err
	}
	for _, r := range s.options.Sources {
		decoder := json.NewDecoder(r)
		for {
			var value json.RawMessage
			if err = decoder.Decode(&value); err != nil {
				break
			}
			m := membersOf(value)
			if m["features"] == nil {
				err = one(m)
			}
			scan.Elements(m["features"], func(_ int, feature []byte) bool {
				err = one(membersOf(feature))
				return err == nil
			})
			if err != nil {
				return err
			}
		}
		if !errors.Is(err, io.EOF) {
			return fmt.Errorf("emulator: sources: %w", err)
		}
	}
	_, err = sv.store.register(news, s.Now, math.MaxInt64)
	return err
}

// seedling judges a source of a file: a Feature, whose properties say the rest,
// or a source as METI answers it.
func (sv *service) seedling(m members) (news []newcomer, err error) {
	if properties := membersOf(m["properties"]); properties != nil {
		maps.Copy(properties, members{"alt_id": m["id"], "geometry": m["geometry"]})
		m = properties
	}
	if m["geometry"] == nil && m["geojson"] != nil {
		m["geometry"] = m["geojson"]
	}
	if inner := membersOf(m["geometry"])["geometry"]; inner != nil { // a whole Feature [D]
		m["geometry"] = inner
	}
	first, _ := sv.server.account("")
	c, err := flat(m)
	if err != nil {
		return nil, err
	}
	return sv.judge(c, first.AccountID, true)
}
