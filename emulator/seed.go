package emulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"

	"github.com/meti-go/meti/internal/scan"
)

// seedBatch is how many sources are registered at a time.
const seedBatch = 1000

// seed registers [Options.Sources] in a store that never had a source.
func (s *Server) seed() error {
	sv := &service{server: s, store: s.production}
	var ever int
	err := s.production.db.QueryRowContext(forever, "SELECT count(*) FROM sqlite_sequence").Scan(&ever)
	if err != nil || ever > 0 {
		return err
	}
	var news []newcomer
	flush := func(least int) error {
		if len(news) < least {
			return nil
		}
		_, err := sv.register(news, math.MaxInt64)
		news = news[:0]
		return err
	}
	for _, r := range s.options.Sources {
		decoder := json.NewDecoder(r)
		for number := 0; ; {
			var value json.RawMessage
			if err := decoder.Decode(&value); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return fmt.Errorf("emulator: sources: %w", err)
			}
			err := eachSource(value, nil, func(m members) error {
				number++
				n, err := sv.seedling(m)
				if err != nil {
					return fmt.Errorf("emulator: source %d: %w", number, err)
				}
				news = append(news, n)
				return flush(seedBatch)
			})
			if err != nil {
				return err
			}
		}
	}
	return flush(1)
}

// eachSource visits the sources in a JSON value, in the form of flat ones:
// those of a FeatureCollection, of one beside what its features share, of an
// array, a Feature, or a source as METI answers it.
func eachSource(value []byte, shared members, visit func(members) error) (err error) {
	array := value
	if value = bytes.TrimSpace(value); value[0] != '[' {
		m := membersOf(value)
		switch {
		case m["feature_collection"] != nil:
			return eachSource(m["feature_collection"], m, visit)
		case m["features"] != nil:
			array = m["features"]
		default:
			return visit(flattened(m, shared))
		}
	}
	end, ok := scan.Elements(array, func(_ int, element []byte) bool {
		err = eachSource(element, shared, visit)
		return err == nil
	})
	if err == nil && !ok {
		err = fmt.Errorf("emulator: sources: no JSON at byte %d of an array", end)
	}
	return err
}

// flattened makes a flat source of a feature. What stands in its properties
// comes before what it shares with others.
func flattened(m, shared members) members {
	flat := make(members)
	maps.Copy(flat, shared)
	if m["properties"] == nil {
		maps.Copy(flat, m)
	} else {
		maps.Copy(flat, membersOf(m["properties"]))
		flat["geometry"] = m["geometry"]
		if m["id"] != nil {
			flat["alt_id"] = m["id"]
		}
	}
	if flat["geometry"] == nil {
		flat["geometry"] = m["geojson"]
	}
	if inner := membersOf(flat["geometry"])["geometry"]; inner != nil { // a whole Feature [D]
		flat["geometry"] = inner
	}
	return flat
}

// seedling judges a source of a file.
func (sv *service) seedling(m members) (n newcomer, err error) {
	first, _ := sv.server.account("")
	a, _ := m.attributes("")
	account, err := a.owner(first.AccountID)
	if err != nil {
		return n, err
	}
	c, err := readFlat(m, profile(account))
	if err != nil {
		return n, err
	}
	news, _, err := sv.judge(c, account)
	if err != nil {
		return n, err
	}
	return news[0], nil
}
