// Command peers lists with other clients and other JSON libraries.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
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
	err = way.Pages(func(offset int) (int, error) {
		answer, err := client.ListSourcesWithResponse(context.Background(), &plain.ListSourcesParams{Limit: &l.Page, Offset: &offset})
		if err != nil {
			return 0, err
		}
		for _, source := range *answer.JSON200 {
			c.Lists(source.Geometry.Coordinates)
		}
		c.Sources += len(*answer.JSON200)
		return len(*answer.JSON200), nil
	})
	return c, err
}

func generatedOpen(l way.Listing) (c way.Count, err error) {
	client, err := open.NewClientWithResponses(l.Base, open.WithHTTPClient(l.Client))
	if err != nil {
		return c, err
	}
	err = way.Pages(func(offset int) (int, error) {
		answer, err := client.ListSourcesWithResponse(context.Background(), &open.ListSourcesParams{Limit: &l.Page, Offset: &offset})
		if err != nil {
			return 0, err
		}
		for _, source := range *answer.JSON200 {
			c.Lists(source.Geometry.Coordinates)
		}
		c.Sources += len(*answer.JSON200)
		return len(*answer.JSON200), nil
	})
	return c, err
}

// generatedHere is this project's gen without the rest: its types read themselves.
func generatedHere(l way.Listing) (c way.Count, err error) {
	client, err := gen.NewClientWithResponses(l.Base, gen.WithHTTPClient(l.Client))
	if err != nil {
		return c, err
	}
	err = way.Pages(func(offset int) (int, error) {
		answer, err := client.ListSourcesWithResponse(context.Background(), &gen.ListSourcesParams{Limit: &l.Page, Offset: &offset})
		if err != nil {
			return 0, err
		}
		for _, source := range *answer.JSON200 {
			if l.Coordinates {
				ring, err := coordinates(source.Geometry)
				if err != nil {
					return 0, err
				}
				c.Ring(ring)
			}
		}
		c.Sources += len(*answer.JSON200)
		return len(*answer.JSON200), nil
	})
	return c, err
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
	err = way.Pages(func(offset int) (int, error) {
		answer, err := client.ListSources(context.Background(), ogen.ListSourcesParams{Limit: ogen.NewOptInt(l.Page), Offset: ogen.NewOptInt(offset)})
		if err != nil {
			return 0, err
		}
		list, ok := answer.(*ogen.SourceList)
		if !ok {
			return 0, fmt.Errorf("answer %T", answer)
		}
		for _, source := range *list {
			c.Lists(source.Geometry.Value.Coordinates)
		}
		c.Sources += len(*list)
		return len(*list), nil
	})
	return c, err
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
	err = way.Pages(func(offset int) (n int, err error) {
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
			if l.Coordinates {
				ring, err := coordinates(s.Geometry)
				if err != nil {
					return 0, err
				}
				c.Ring(ring)
			}
		}
		c.Sources += n
		_, err = decoder.ReadToken()
		return n, err
	})
	return c, err
}

// read reads a body into a buffer that is used again.
func read(body io.ReadCloser, buffer *bytes.Buffer) error {
	defer body.Close()
	buffer.Reset()
	_, err := buffer.ReadFrom(body)
	return err
}

func peerSonic(l way.Listing) (c way.Count, err error) {
	type polygon struct {
		Type        string         `json:"type"`
		Coordinates [][][2]float64 `json:"coordinates"`
	}
	var buffer bytes.Buffer
	err = way.Pages(func(offset int) (int, error) {
		body, err := way.Get(l, offset)
		if err == nil {
			err = read(body, &buffer)
		}
		if err != nil {
			return 0, err
		}
		if !l.Coordinates {
			var list []source[json.RawMessage]
			err = sonic.Unmarshal(buffer.Bytes(), &list)
			c.Sources += len(list)
			return len(list), err
		}
		var list []source[polygon]
		if err := sonic.Unmarshal(buffer.Bytes(), &list); err != nil {
			return 0, err
		}
		for i := range list {
			for _, ring := range list[i].Geometry.Coordinates {
				c.Ring(ring)
			}
		}
		c.Sources += len(list)
		return len(list), nil
	})
	return c, err
}

func peerJX(l way.Listing) (c way.Count, err error) {
	var buffer bytes.Buffer
	decoder := jx.DecodeBytes(nil)
	err = way.Pages(func(offset int) (n int, err error) {
		body, err := way.Get(l, offset)
		if err == nil {
			err = read(body, &buffer)
		}
		if err != nil {
			return 0, err
		}
		decoder.ResetBytes(buffer.Bytes())
		err = decoder.Arr(func(d *jx.Decoder) error {
			var s source[json.RawMessage]
			n++
			if err := d.ObjBytes(func(d *jx.Decoder, key []byte) error { return s.member(d, key) }); err != nil {
				return err
			}
			if l.Coordinates {
				ring, err := coordinates(s.Geometry)
				if err != nil {
					return err
				}
				c.Ring(ring)
			}
			return nil
		})
		c.Sources += n
		return n, err
	})
	return c, err
}

// member reads one member by jx, as one writes it by hand.
func (s *source[G]) member(d *jx.Decoder, key []byte) (err error) {
	text := func(to **string) error {
		if d.Next() == jx.Null {
			return d.Null()
		}
		value, err := d.Str()
		*to = &value
		return err
	}
	list := func(to *[]string) error {
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
	float := func(to **float64) error {
		if d.Next() == jx.Null {
			return d.Null()
		}
		value, err := d.Float64()
		*to = &value
		return err
	}
	truth := func(to **bool) error {
		if d.Next() == jx.Null {
			return d.Null()
		}
		value, err := d.Bool()
		*to = &value
		return err
	}
	date := func(to *time.Time) error {
		value, err := d.StrBytes()
		if err != nil {
			return err
		}
		return to.UnmarshalText(value)
	}
	dateOrNull := func(to **time.Time) error {
		if d.Next() == jx.Null {
			return d.Null()
		}
		*to = new(time.Time)
		return date(*to)
	}
	raw := func(to *G) error {
		value, err := d.Raw()
		*any(to).(*json.RawMessage) = bytes.Clone(value)
		return err
	}
	switch string(key) {
	case "id":
		s.ID, err = d.Str()
	case "alt_id":
		s.AltID, err = d.Str()
	case "start_at":
		err = date(&s.StartAt)
	case "end_at":
		err = date(&s.EndAt)
	case "country":
		err = text(&s.Country)
	case "hectares":
		err = float(&s.Hectares)
	case "created_at":
		err = dateOrNull(&s.CreatedAt)
	case "updated_at":
		err = dateOrNull(&s.UpdatedAt)
	case "created_by":
		err = text(&s.CreatedBy)
	case "updated_by":
		err = text(&s.UpdatedBy)
	case "account_id":
		err = text(&s.AccountID)
	case "conflict":
		err = truth(&s.Conflict)
	case "conflict_with":
		err = list(&s.ConflictWith)
	case "percent_overlap":
		err = float(&s.PercentOverlap)
	case "methodology":
		err = text(&s.Methodology)
	case "source_type":
		err = text(&s.SourceType)
	case "attribute_type":
		err = list(&s.AttributeType)
	case "geometry_source":
		err = text(&s.GeometrySource)
	case "tags":
		err = list(&s.Tags)
	case "steward_id":
		err = text(&s.StewardID)
	case "project_id":
		err = text(&s.ProjectID)
	case "outcome_reporting_year":
		if d.Next() == jx.Null {
			return d.Null()
		}
		var year int
		year, err = d.Int()
		s.OutcomeReportingYear = &year
	case "constituent_ssids":
		err = list(&s.ConstituentSSIDs)
	case "measurement_point_id":
		err = text(&s.MeasurementPointID)
	case "geometry":
		err = raw(&s.Geometry)
	case "geojson":
		err = raw(&s.Geojson)
	case "unep_overlap":
		err = truth(&s.UNEPOverlap)
	case "pa_name":
		err = text(&s.PAName)
	case "pa_designation":
		err = text(&s.PADesignation)
	case "wdpaid":
		err = text(&s.WDPAID)
	case "h3_indexes":
		err = list(&s.H3Indexes)
	default:
		err = d.Skip()
	}
	return err
}
