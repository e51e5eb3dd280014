package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bytedance/sonic"
	"github.com/go-faster/jx"
	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/oauth2"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/bench/peers/ogen"
	"github.com/meti-go/meti/bench/peers/open"
	"github.com/meti-go/meti/bench/peers/plain"
	"github.com/meti-go/meti/gen"
)

// listing is what a way is asked to do.
type listing struct {
	base        string
	page        int // sources a request
	inFlight    int
	coordinates bool // decode every coordinate, where that is not done anyway
	client      *http.Client
}

// count is what a way has seen.
type count struct {
	Sources  int     `json:"sources"`
	Vertices int     `json:"vertices"`
	Sum      float64 `json:"sum"` // of the first position of each ring
}

func (c *count) ring(ring [][2]float64) {
	c.Vertices += len(ring)
	c.Sum += ring[0][0] + ring[0][1]
}

func (c *count) lists(rings [][][]float64) {
	for _, ring := range rings {
		c.Vertices += len(ring)
		c.Sum += ring[0][0] + ring[0][1]
	}
}

// ways are the clients that are compared, each by its name in the tables.
var ways = map[string]func(listing) (count, error){
	"this SDK":                      sdk,
	"floor":                         floor,
	"oapi-codegen":                  generatedPlain,
	"oapi-codegen, additional":      generatedOpen,
	"oapi-codegen, additional, raw": generatedRaw,
	"ogen":                          generatedOgen,
	"go-json-experiment/json":       peerJSONv2,
	"go-faster/jx":                  peerJX,
	"bytedance/sonic":               peerSonic,
}

func sdk(l listing) (c count, err error) {
	client, err := api.New(api.WithBaseURL(l.base), api.WithHTTPClient(l.client),
		api.WithTokenSource(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "token"})))
	if err != nil {
		return c, err
	}
	for source, err := range client.Sources.All(context.Background(), api.AllParams{PageSize: l.page, InFlight: l.inFlight}) {
		if err != nil {
			return c, err
		}
		c.Sources++
		if !l.coordinates {
			continue
		}
		polygons, err := source.Polygons()
		if err != nil {
			return c, err
		}
		for _, polygon := range polygons {
			for _, ring := range polygon {
				c.ring(ring)
			}
		}
	}
	return c, nil
}

// floor reads the bodies and discards them.
func floor(l listing) (c count, err error) {
	var (
		next     atomic.Int64
		workers  sync.WaitGroup
		mu       sync.Mutex
		failed   error
		finished atomic.Bool
	)
	for range max(1, l.inFlight) {
		workers.Go(func() {
			buffer := make([]byte, 128<<10)
			for !finished.Load() {
				offset := int(next.Add(int64(l.page))) - l.page
				read := 0
				body, err := get(l, offset)
				if err == nil {
					for err == nil {
						var n int
						n, err = body.Read(buffer)
						read += n
					}
					body.Close()
				}
				if err != io.EOF {
					mu.Lock()
					failed = err
					mu.Unlock()
				}
				if err != io.EOF || read <= 2 {
					finished.Store(true)
				}
			}
		})
	}
	workers.Wait()
	return c, failed
}

// get requests a page as every way does that brings no client of its own.
func get(l listing, offset int) (io.ReadCloser, error) {
	request, err := http.NewRequest(http.MethodGet, l.base+"/sources?limit="+strconv.Itoa(l.page)+"&offset="+strconv.Itoa(offset), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer token")
	answer, err := l.client.Do(request)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		answer.Body.Close()
		return nil, fmt.Errorf("status %s", answer.Status)
	}
	return answer.Body, nil
}

// pages walks over the pages, one after the other.
func pages(list func(offset int) (sources int, err error)) error {
	for offset := 0; ; {
		n, err := list(offset)
		if err != nil || n == 0 {
			return err
		}
		offset += n
	}
}

func generatedPlain(l listing) (c count, err error) {
	client, err := plain.NewClientWithResponses(l.base, plain.WithHTTPClient(l.client))
	if err != nil {
		return c, err
	}
	err = pages(func(offset int) (int, error) {
		answer, err := client.ListSourcesWithResponse(context.Background(), &plain.ListSourcesParams{Limit: &l.page, Offset: &offset})
		if err != nil {
			return 0, err
		}
		for _, source := range *answer.JSON200 {
			c.lists(source.Geometry.Coordinates)
		}
		c.Sources += len(*answer.JSON200)
		return len(*answer.JSON200), nil
	})
	return c, err
}

func generatedOpen(l listing) (c count, err error) {
	client, err := open.NewClientWithResponses(l.base, open.WithHTTPClient(l.client))
	if err != nil {
		return c, err
	}
	err = pages(func(offset int) (int, error) {
		answer, err := client.ListSourcesWithResponse(context.Background(), &open.ListSourcesParams{Limit: &l.page, Offset: &offset})
		if err != nil {
			return 0, err
		}
		for _, source := range *answer.JSON200 {
			c.lists(source.Geometry.Coordinates)
		}
		c.Sources += len(*answer.JSON200)
		return len(*answer.JSON200), nil
	})
	return c, err
}

// generatedRaw is this project's gen, bare: unknown members kept, geometry raw.
func generatedRaw(l listing) (c count, err error) {
	client, err := gen.NewClientWithResponses(l.base, gen.WithHTTPClient(l.client))
	if err != nil {
		return c, err
	}
	err = pages(func(offset int) (int, error) {
		answer, err := client.ListSourcesWithResponse(context.Background(), &gen.ListSourcesParams{Limit: &l.page, Offset: &offset})
		if err != nil {
			return 0, err
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

func generatedOgen(l listing) (c count, err error) {
	client, err := ogen.NewClient(l.base, ogenToken{}, ogen.WithClient(l.client))
	if err != nil {
		return c, err
	}
	err = pages(func(offset int) (int, error) {
		answer, err := client.ListSources(context.Background(), ogen.ListSourcesParams{Limit: ogen.NewOptInt(l.page), Offset: ogen.NewOptInt(offset)})
		if err != nil {
			return 0, err
		}
		list, ok := answer.(*ogen.SourceList)
		if !ok {
			return 0, fmt.Errorf("answer %T", answer)
		}
		for _, source := range *list {
			c.lists(source.Geometry.Value.Coordinates)
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

func peerJSONv2(l listing) (c count, err error) {
	err = pages(func(offset int) (n int, err error) {
		body, err := get(l, offset)
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
			if l.coordinates {
				ring, err := coordinates(s.Geometry)
				if err != nil {
					return 0, err
				}
				c.ring(ring)
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

func peerSonic(l listing) (c count, err error) {
	type polygon struct {
		Type        string         `json:"type"`
		Coordinates [][][2]float64 `json:"coordinates"`
	}
	var buffer bytes.Buffer
	err = pages(func(offset int) (int, error) {
		body, err := get(l, offset)
		if err == nil {
			err = read(body, &buffer)
		}
		if err != nil {
			return 0, err
		}
		if !l.coordinates {
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
				c.ring(ring)
			}
		}
		c.Sources += len(list)
		return len(list), nil
	})
	return c, err
}

func peerJX(l listing) (c count, err error) {
	var buffer bytes.Buffer
	decoder := jx.DecodeBytes(nil)
	err = pages(func(offset int) (n int, err error) {
		body, err := get(l, offset)
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
			if l.coordinates {
				ring, err := coordinates(s.Geometry)
				if err != nil {
					return err
				}
				c.ring(ring)
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
