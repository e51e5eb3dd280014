// Command peers lists with other clients and other JSON libraries.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/bytedance/sonic"
	"github.com/go-faster/jx"
	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/meti-go/meti/bench/internal/way"
	"github.com/meti-go/meti/bench/peers/ogen"
	"github.com/meti-go/meti/bench/peers/open"
	"github.com/meti-go/meti/bench/peers/plain"
	"github.com/meti-go/meti/gen"
)

func main() { way.Main(ways) }

// ways are the clients that are compared, each by its name in the tables.
var ways = map[string]func(way.Listing) (way.Count, error){
	"oapi-codegen":             generatedPlain,
	"oapi-codegen, additional": generatedOpen,
	"gen":                      generatedHere,
	"ogen":                     generatedOgen,
	"go-json-experiment/json":  peerJSONv2,
	"go-faster/jx":             peerJX,
	"bytedance/sonic":          peerSonic,
}

func generatedPlain(l way.Listing) (c way.Count, err error) {
	client, err := plain.NewClientWithResponses(l.Base, plain.WithHTTPClient(l.Client))
	if err != nil {
		return c, err
	}
	return way.Pages(func(offset int) ([]plain.Source, error) {
		answer, err := client.ListSourcesWithResponse(context.Background(), &plain.ListSourcesParams{Limit: &l.Page, Offset: &offset})
		if err != nil {
			return nil, err
		}
		return *answer.JSON200, nil
	}, func(s *plain.Source, c *way.Count) error {
		c.Lists(s.Geometry.Coordinates)
		return nil
	})
}

func generatedOpen(l way.Listing) (c way.Count, err error) {
	client, err := open.NewClientWithResponses(l.Base, open.WithHTTPClient(l.Client))
	if err != nil {
		return c, err
	}
	return way.Pages(func(offset int) ([]open.Source, error) {
		answer, err := client.ListSourcesWithResponse(context.Background(), &open.ListSourcesParams{Limit: &l.Page, Offset: &offset})
		if err != nil {
			return nil, err
		}
		return *answer.JSON200, nil
	}, func(s *open.Source, c *way.Count) error {
		c.Lists(s.Geometry.Coordinates)
		return nil
	})
}

// generatedHere is this project's gen without the rest: its types read themselves.
func generatedHere(l way.Listing) (c way.Count, err error) {
	client, err := gen.NewClientWithResponses(l.Base, gen.WithHTTPClient(l.Client))
	if err != nil {
		return c, err
	}
	return way.Pages(func(offset int) ([]gen.Source, error) {
		answer, err := client.ListSourcesWithResponse(context.Background(), &gen.ListSourcesParams{Limit: &l.Page, Offset: &offset})
		if err != nil {
			return nil, err
		}
		return *answer.JSON200, nil
	}, func(s *gen.Source, c *way.Count) error { return see(l, s.Geometry, c) })
}

// see counts the boundary of a source whose geometry was left alone.
func see(l way.Listing, geometry []byte, c *way.Count) error {
	if !l.Coordinates {
		return nil
	}
	ring, err := coordinates(geometry)
	if err == nil {
		c.Ring(ring)
	}
	return err
}

type ogenToken struct{}

func (ogenToken) Auth0(context.Context, ogen.OperationName) (ogen.Auth0, error) {
	return ogen.Auth0{Token: "token"}, nil
}

func generatedOgen(l way.Listing) (c way.Count, err error) {
	client, err := ogen.NewClient(l.Base, ogenToken{}, ogen.WithClient(l.Client))
	if err != nil {
		return c, err
	}
	return way.Pages(func(offset int) ([]ogen.Source, error) {
		answer, err := client.ListSources(context.Background(), ogen.ListSourcesParams{Limit: ogen.NewOptInt(l.Page), Offset: ogen.NewOptInt(offset)})
		if err != nil {
			return nil, err
		}
		list, ok := answer.(*ogen.SourceList)
		if !ok {
			return nil, fmt.Errorf("answer %T", answer)
		}
		return *list, nil
	}, func(s *ogen.Source, c *way.Count) error {
		c.Lists(s.Geometry.Value.Coordinates)
		return nil
	})
}

// source is a source as one writes it by hand for a JSON library.
type source[Geometry any] struct {
	ID                   string     `json:"id"`
	AltID                string     `json:"alt_id"`
	StartAt              time.Time  `json:"start_at"`
	EndAt                time.Time  `json:"end_at"`
	Country              *string    `json:"country"`
	Hectares             *float64   `json:"hectares"`
	CreatedAt            *time.Time `json:"created_at"`
	UpdatedAt            *time.Time `json:"updated_at"`
	CreatedBy            *string    `json:"created_by"`
	UpdatedBy            *string    `json:"updated_by"`
	AccountID            *string    `json:"account_id"`
	Conflict             *bool      `json:"conflict"`
	ConflictWith         []string   `json:"conflict_with"`
	PercentOverlap       *float64   `json:"percent_overlap"`
	Methodology          *string    `json:"methodology"`
	SourceType           *string    `json:"source_type"`
	AttributeType        []string   `json:"attribute_type"`
	GeometrySource       *string    `json:"geometry_source"`
	Tags                 []string   `json:"tags"`
	StewardID            *string    `json:"steward_id"`
	ProjectID            *string    `json:"project_id"`
	OutcomeReportingYear *int       `json:"outcome_reporting_year"`
	ConstituentSSIDs     []string   `json:"constituent_ssids"`
	MeasurementPointID   *string    `json:"measurement_point_id"`
	Geometry             Geometry   `json:"geometry"`
	Geojson              Geometry   `json:"geojson"`
	UNEPOverlap          *bool      `json:"unep_overlap"`
	PAName               *string    `json:"pa_name"`
	PADesignation        *string    `json:"pa_designation"`
	WDPAID               *string    `json:"wdpaid"`
	H3Indexes            []string   `json:"h3_indexes"`
}

func peerJSONv2(l way.Listing) (c way.Count, err error) {
	err = way.Walk(func(offset int) (n int, err error) {
		body, err := way.Get(l, offset)
		if err != nil {
			return 0, err
		}
		defer body.Close()
		decoder := jsontext.NewDecoder(body)
		if _, err := decoder.ReadToken(); err != nil {
			return 0, err
		}
		for ; decoder.PeekKind() != ']'; n++ {
			var s source[jsontext.Value]
			if err := jsonv2.UnmarshalDecode(decoder, &s); err != nil {
				return 0, err
			}
			if err := see(l, s.Geometry, &c); err != nil {
				return 0, err
			}
		}
		c.Sources += n
		_, err = decoder.ReadToken()
		return n, err
	})
	return c, err
}

// read reads a page into a buffer that is used again.
func read(l way.Listing, offset int, buffer *bytes.Buffer) error {
	body, err := way.Get(l, offset)
	if err != nil {
		return err
	}
	defer body.Close()
	buffer.Reset()
	_, err = buffer.ReadFrom(body)
	return err
}

func peerSonic(l way.Listing) (c way.Count, err error) {
	if !l.Coordinates {
		return sonicPages(l, func(*source[json.RawMessage], *way.Count) error { return nil })
	}
	type polygon struct {
		Type        string         `json:"type"`
		Coordinates [][][2]float64 `json:"coordinates"`
	}
	return sonicPages(l, func(s *source[polygon], c *way.Count) error {
		for _, ring := range s.Geometry.Coordinates {
			c.Ring(ring)
		}
		return nil
	})
}

func sonicPages[Geometry any](l way.Listing, see func(*source[Geometry], *way.Count) error) (way.Count, error) {
	var buffer bytes.Buffer
	return way.Pages(func(offset int) (list []source[Geometry], err error) {
		if err := read(l, offset, &buffer); err != nil {
			return nil, err
		}
		return list, sonic.Unmarshal(buffer.Bytes(), &list)
	}, see)
}

func peerJX(l way.Listing) (c way.Count, err error) {
	var buffer bytes.Buffer
	decoder := jx.DecodeBytes(nil)
	err = way.Walk(func(offset int) (n int, err error) {
		if err := read(l, offset, &buffer); err != nil {
			return 0, err
		}
		decoder.ResetBytes(buffer.Bytes())
		err = decoder.Arr(func(d *jx.Decoder) error {
			n++
			var s source[json.RawMessage]
			if err := d.ObjBytes(func(d *jx.Decoder, key []byte) error { return member(&s, d, key) }); err != nil {
				return err
			}
			return see(l, s.Geometry, &c)
		})
		c.Sources += n
		return n, err
	})
	return c, err
}

// optional reads a member that may be null.
func optional[T any](d *jx.Decoder, to **T, read func(*jx.Decoder) (T, error)) error {
	if d.Next() == jx.Null {
		return d.Null()
	}
	value, err := read(d)
	*to = &value
	return err
}

func date(d *jx.Decoder) (t time.Time, err error) {
	text, err := d.StrBytes()
	if err != nil {
		return t, err
	}
	return t, t.UnmarshalText(text)
}

func list(d *jx.Decoder, to *[]string) error {
	if d.Next() == jx.Null {
		return d.Null()
	}
	*to = []string{}
	return d.Arr(func(d *jx.Decoder) error {
		value, err := d.Str()
		*to = append(*to, value)
		return err
	})
}

func raw(d *jx.Decoder, to *json.RawMessage) error {
	value, err := d.Raw()
	*to = bytes.Clone(value)
	return err
}

// member reads one member by jx, as one writes it by hand.
func member(s *source[json.RawMessage], d *jx.Decoder, key []byte) (err error) {
	switch string(key) {
	case "id":
		s.ID, err = d.Str()
	case "alt_id":
		s.AltID, err = d.Str()
	case "start_at":
		s.StartAt, err = date(d)
	case "end_at":
		s.EndAt, err = date(d)
	case "country":
		err = optional(d, &s.Country, (*jx.Decoder).Str)
	case "hectares":
		err = optional(d, &s.Hectares, (*jx.Decoder).Float64)
	case "created_at":
		err = optional(d, &s.CreatedAt, date)
	case "updated_at":
		err = optional(d, &s.UpdatedAt, date)
	case "created_by":
		err = optional(d, &s.CreatedBy, (*jx.Decoder).Str)
	case "updated_by":
		err = optional(d, &s.UpdatedBy, (*jx.Decoder).Str)
	case "account_id":
		err = optional(d, &s.AccountID, (*jx.Decoder).Str)
	case "conflict":
		err = optional(d, &s.Conflict, (*jx.Decoder).Bool)
	case "conflict_with":
		err = list(d, &s.ConflictWith)
	case "percent_overlap":
		err = optional(d, &s.PercentOverlap, (*jx.Decoder).Float64)
	case "methodology":
		err = optional(d, &s.Methodology, (*jx.Decoder).Str)
	case "source_type":
		err = optional(d, &s.SourceType, (*jx.Decoder).Str)
	case "attribute_type":
		err = list(d, &s.AttributeType)
	case "geometry_source":
		err = optional(d, &s.GeometrySource, (*jx.Decoder).Str)
	case "tags":
		err = list(d, &s.Tags)
	case "steward_id":
		err = optional(d, &s.StewardID, (*jx.Decoder).Str)
	case "project_id":
		err = optional(d, &s.ProjectID, (*jx.Decoder).Str)
	case "outcome_reporting_year":
		err = optional(d, &s.OutcomeReportingYear, (*jx.Decoder).Int)
	case "constituent_ssids":
		err = list(d, &s.ConstituentSSIDs)
	case "measurement_point_id":
		err = optional(d, &s.MeasurementPointID, (*jx.Decoder).Str)
	case "geometry":
		err = raw(d, &s.Geometry)
	case "geojson":
		err = raw(d, &s.Geojson)
	case "unep_overlap":
		err = optional(d, &s.UNEPOverlap, (*jx.Decoder).Bool)
	case "pa_name":
		err = optional(d, &s.PAName, (*jx.Decoder).Str)
	case "pa_designation":
		err = optional(d, &s.PADesignation, (*jx.Decoder).Str)
	case "wdpaid":
		err = optional(d, &s.WDPAID, (*jx.Decoder).Str)
	case "h3_indexes":
		err = list(d, &s.H3Indexes)
	default:
		err = d.Skip()
	}
	return err
}
