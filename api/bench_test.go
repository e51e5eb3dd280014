package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"testing"

	"github.com/meti-go/meti/gen"
)

// benchmarkList is a page of sources of 80 vertices, half of them with nine
// decimals and half with all the digits of a float64.
func benchmarkList() []byte {
	var list []byte
	for i := range 100 {
		list = append(list, "[,"[min(i, 1)])
		list = fmt.Appendf(list, `{"id":"src_%013d","alt_id":"field-%06d","start_at":"2026-01-01T00:00:00Z","end_at":"2026-12-31T00:00:00Z","country":"Brazil","hectares":25.265408,`+
			`"created_at":"2026-02-03T09:12:44.%06dZ","updated_at":"2026-02-03T09:12:44.%06dZ","created_by":null,"updated_by":null,"account_id":"6f1f6d7e-4c3b-4a55-9d5a-0d9f3b0c2a11",`+
			`"conflict":false,"conflict_with":null,"percent_overlap":null,"methodology":"Agriculture","source_type":"FIELD","attribute_type":["CARBON_REMOVAL"],"geometry_source":"CUSTODIAN_DRAWN",`+
			`"tags":["north"],"steward_id":"steward-7","project_id":"project-2026","outcome_reporting_year":2026,"geometry":{"type":"Polygon","coordinates":[[`, i, i, i, i)
		decimals := 9 - 10*(i%2)
		for v := range 80 {
			angle := 2 * math.Pi * float64(v%79) / 79
			list = append(list, "[,["[min(v, 1):1+min(2*v, 2)]...)
			list = strconv.AppendFloat(list, -93.6+float64(i)/7+0.003*math.Cos(angle), 'f', decimals, 64)
			list = append(list, ',')
			list = strconv.AppendFloat(list, 42.03+0.003*math.Sin(angle), 'f', decimals, 64)
			list = append(list, ']')
		}
		list = append(list, `]]},"unep_overlap":false,"pa_name":null,"pa_designation":null,"wdpaid":null,"h3_indexes":null}`...)
	}
	return append(list, ']')
}

func BenchmarkDecode(b *testing.B) {
	list := benchmarkList()
	for name, decode := range map[string]func() (int, error){
		"sdk": func() (n int, err error) {
			err = streamSources(bytes.NewReader(list), func(*Source) error { n++; return nil })
			return n, err
		},
		"sdk-polygons": func() (n int, err error) {
			err = streamSources(bytes.NewReader(list), func(source *Source) error {
				n++
				polygons, err := source.Polygons()
				if err == nil && len(polygons[0][0]) != 80 {
					err = fmt.Errorf("%d vertices", len(polygons[0][0]))
				}
				return err
			})
			return n, err
		},
		"gen": func() (int, error) {
			var sources []gen.Source
			err := json.Unmarshal(list, &sources)
			return len(sources), err
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(list)))
			b.ReportAllocs()
			for b.Loop() {
				if n, err := decode(); n != 100 || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	sources, err := readSources(bytes.NewReader(benchmarkList()))
	if err != nil {
		b.Fatal(err)
	}
	var request SourceCreateFeatures
	for _, source := range sources {
		request.FeatureCollection.Features = append(request.FeatureCollection.Features, Feature{
			ID: source.AltID, Geometry: source.Geometry, Properties: FeatureProperties{StartAt: source.StartAt, EndAt: source.EndAt},
		})
	}
	for name, encode := range map[string]func() ([]byte, error){
		"sdk-create":  func() ([]byte, error) { return encodeFeatures(request) },
		"json-create": func() ([]byte, error) { return json.Marshal(request) },
		"sdk-source":  func() ([]byte, error) { return sources[0].MarshalJSON() },
		"gen-source":  func() ([]byte, error) { return sources[0].Source.MarshalJSON() },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				text, err := encode()
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(len(text)))
			}
		})
	}
}
