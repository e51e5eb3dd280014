package doctor

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/meti-go/meti"
)

// The open sea, in no country, where nothing conflicts: in the South Pacific,
// some 2,600 km from the nearest land.
const (
	seaWest, seaSouth = -123.4, -48.9
	seaSide           = 0.001 // degrees, about 100 m
)

// asking is one run of the facts.
type asking struct {
	*sandbox
	spec  *spec
	facts []Fact
	first created
	stamp string // begins every alt_id, so that runs do not meet
}

// fact notes what is known now. where is the place in openapi.yaml that says how
// far the fact was known until now.
func (a *asking) fact(name, where string, verdict Verdict, seen string, args ...any) {
	if a.err != nil {
		return // nothing was answered
	}
	a.facts = append(a.facts, Fact{name, a.spec.provenance(where), verdict, printable(fmt.Sprintf(seen, args...)), where})
}

// printable leaves out what could move a cursor.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
}

// hold is fact, for what can be seen to hold or not.
func (a *asking) hold(name, where string, holds bool, seen string, args ...any) {
	verdict := Differs
	if holds {
		verdict = Holds
	}
	a.fact(name, where, verdict, seen, args...)
}

// The places in openapi.yaml.
const (
	inCreate = "/paths/~1sources/post"
	inList   = "/paths/~1sources/get"
	inGet    = "/paths/~1sources~1{source_id}/get"
	inSource = "/components/schemas/Source/properties/"
	inServer = "/servers/2"
)

// square is the n-th boundary.
func square(n int) map[string]any {
	west, south := seaWest+float64(n%100)*2*seaSide, seaSouth+float64(n/100)*2*seaSide
	at := func(x, y float64) []float64 { return []float64{round(west + x), round(south + y)} }
	return map[string]any{"type": "Polygon", "coordinates": [][][]float64{{
		at(0, 0), at(seaSide, 0), at(seaSide, seaSide), at(0, seaSide), at(0, 0),
	}}}
}

func round(degrees float64) float64 { return math.Round(degrees*1e6) / 1e6 }

func (a *asking) feature(altID string, n int) map[string]any {
	return map[string]any{"type": "Feature", "id": altID, "geometry": square(n), "properties": map[string]any{
		"start_at": "2030-01-01T00:00:00Z", "end_at": "2031-01-01T00:00:00Z",
	}}
}

func collection(features ...map[string]any) map[string]any {
	return map[string]any{"type": "FeatureCollection", "features": features}
}

// flat is one source, without a period.
func (a *asking) flat(altID string, n int) map[string]any {
	return map[string]any{"alt_id": altID, "methodology": "Agriculture", "geometry": square(n)}
}

func with(object map[string]any, more map[string]any) map[string]any {
	for name, value := range more {
		object[name] = value
	}
	return object
}

// period is what a flat source needs besides.
func period() map[string]any {
	return map[string]any{"start_at": "2030-01-01T00:00:00Z", "end_at": "2031-01-01T00:00:00Z"}
}

// Questions say whom the facts are asked, and how.
type Questions struct {
	// BaseURL is that of the client. What is posted goes to the sandbox below
	// it; what the sandbox does not show is read from it, 1,000 sources at most.
	BaseURL string
	// HTTP sends the requests; it must not follow redirects.
	HTTP *http.Client
	// Authorization gives the value of that header.
	Authorization func(context.Context) (string, error)
	// Announce is told of each request before it is sent.
	Announce func(string)
	// Record names a folder to keep the exchanges in; empty for none.
	Record string
	// Pause is the time between two requests to a host that is not this
	// machine; a second where it is 0.
	Pause time.Duration
}

// Ask asks METI's sandbox the questions behind the assumptions of this module,
// with at most 40 requests. Where it has to end early, by an error or because
// what was posted may have been registered for good, the facts so far are handed
// back beside the error.
func (q Questions) Ask(ctx context.Context) ([]Fact, error) {
	ours, err := parseSpec(meti.OpenAPI)
	if err != nil {
		return nil, err
	}
	posting, reading, err := sandboxOf(q.BaseURL)
	if err != nil {
		return nil, err
	}
	s := &sandbox{ctx: ctx, Questions: q, posting: posting, reading: reading, made: &made{map[string]bool{}, map[string]bool{}}}
	if u, _ := url.Parse(q.BaseURL); isLoopback(u) {
		s.Pause = 0
	} else if s.Pause == 0 {
		s.Pause = time.Second
	}
	if q.Record != "" {
		if s.record, err = newRecorder(q.Record, ours, s.made); err != nil {
			return nil, err
		}
	}
	a := &asking{sandbox: s, spec: ours, stamp: fmt.Sprintf("doctor-%08x", rand.Uint32())}
	for _, step := range []func(){a.contract, a.create, a.forms, a.refusals, a.shown, a.listing, a.later} {
		if step(); a.err != nil {
			break
		}
	}
	err = a.err
	if s.record != nil {
		err = errors.Join(err, s.record.verdicts(a.facts))
	}
	return a.facts, err
}
