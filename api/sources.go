package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"

	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/internal/scan"
)

// ListParams are the parameters of [SourcesService.List].
type ListParams struct {
	Filter
	Limit  int // at most this many; 0 sends no limit, and the answer may be the whole account
	Offset int // leave this many out first
}

// query writes the parameters as they go over the wire.
func (p ListParams) query() url.Values {
	q := p.Query()
	if p.Limit != 0 {
		q.Set("limit", strconv.Itoa(p.Limit))
	}
	if p.Offset != 0 {
		q.Set("offset", strconv.Itoa(p.Offset))
	}
	return q
}

// List gets one page of sources, in no promised order.
func (s *SourcesService) List(ctx context.Context, params ListParams) ([]*Source, error) {
	call := call{operation: gen.OperationListSources, query: params.query(), most: maxListBytes}
	if params.Limit < 0 || params.Offset < 0 {
		call.invalid = fmt.Errorf("Limit %d and Offset %d cannot be negative", params.Limit, params.Offset)
	}
	return answerOf(ctx, s.client, call, readSources)
}

// Get gets one source of the account. Its error is [ErrNotFound] where the
// account has none of that id.
func (s *SourcesService) Get(ctx context.Context, id SSID) (*Source, error) {
	return answerOf(ctx, s.client, ofSource(gen.OperationGetSource, id), readSource)
}

// Create registers features, whole or not at all, and returns the sources in their
// order. After an answer that was lost its error is [ErrOutcomeUnknown].
func (s *SourcesService) Create(ctx context.Context, request SourceCreateFeatures) ([]*Source, error) {
	body, err := encodeFeatures(request)
	return s.create(ctx, body, err, len(request.FeatureCollection.Features))
}

// CreateOne is [SourcesService.Create] for one source.
func (s *SourcesService) CreateOne(ctx context.Context, request SourceCreate) (*Source, error) {
	body, err := encodeOne(request)
	sources, err := s.create(ctx, body, err, 1)
	if err != nil {
		return nil, err
	}
	return sources[0], nil
}

// create sends a registration of so many sources, if it could be written.
func (s *SourcesService) create(ctx context.Context, body []byte, invalid error, sent int) ([]*Source, error) {
	call := call{operation: gen.OperationCreateSources, body: body, invalid: invalid, most: maxCreateBytes}
	return answerOf(ctx, s.client, call, func(body io.Reader) ([]*Source, error) {
		sources, err := readSources(body)
		if err == nil && len(sources) != sent {
			err = fmt.Errorf("%d sources were sent, and %d came back", sent, len(sources))
		}
		return sources, err
	})
}

// Delete deletes one source of the account. Its error is [ErrNotFound] where
// the account has none of that id; but where an earlier attempt of this call
// may have deleted it, and only its answer was lost, there is no error.
func (s *SourcesService) Delete(ctx context.Context, id SSID) error {
	return s.client.do(ctx, ofSource(gen.OperationDeleteSource, id))
}

// DeleteByAltID deletes every source of the account that has this alt_id, and
// that can be more than one. A repeat is treated as in [SourcesService.Delete].
func (s *SourcesService) DeleteByAltID(ctx context.Context, altID string) error {
	call := call{operation: gen.OperationDeleteSourcesByAltID, query: url.Values{"alt_id": {altID}}, most: maxSourceBytes}
	if altID == "" {
		call.invalid = errors.New("alt_id is empty: that might name every source")
	}
	return s.client.do(ctx, call)
}

// ofSource is the call of an operation on one source. It refuses the ids that would
// name another operation.
func ofSource(operation gen.Operation, id SSID) call {
	operation.Path = "/sources/" + url.PathEscape(id)
	call := call{operation: operation, most: maxSourceBytes}
	if id == "" || id == "." || id == ".." {
		call.invalid = fmt.Errorf("source id %q names no source", id)
	}
	return call
}

// readSources reads the answer of a listing or a registration.
func readSources(body io.Reader) (sources []*Source, err error) {
	err = streamSources(body, func(source *Source) error {
		sources = append(sources, source)
		return nil
	})
	return sources, err
}

// readSource reads the answer of a look-up.
func readSource(body io.Reader) (*Source, error) {
	s := new(Source)
	if err := scan.Value(body, maxSourceBytes, s, "the answer"); err != nil {
		return nil, err
	}
	return s, nil
}

// streamSources hands out the sources of a JSON array one by one, each as soon as
// it has arrived. Its errors are those of [scan.Array].
func streamSources(body io.Reader, each func(*Source) error) error {
	var s *Source
	return scan.Array(body, maxSourceBytes,
		func(d *scan.Decoder) {
			s = new(Source)
			s.ScanJSON(d)
		},
		func() error { return each(s) },
		func(number int) string {
			return strings.TrimSpace(fmt.Sprintf("source %d of the answer %s", number, s.ID))
		})
}
