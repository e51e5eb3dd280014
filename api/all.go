package api

import (
	"context"
	"iter"
)

// AllParams are the parameters of [SourcesService.All].
type AllParams struct {
	Filter
	PageSize int         // sources a request; 1,000 unless set
	InFlight int         // requests under way at once; 4 unless set
	OnDrift  func(Drift) // told when the account changed while it was listed
}

// Drift is a sign that an account changed, or was answered inconsistently,
// while it was listed: sources may have been missed or seen twice.
type Drift struct {
	Kind   string // "repeated" (a source came twice) or "shrunk" (a page in the middle was short)
	ID     SSID   // the source that came twice
	Offset int    // where the page began
}

// All lists every source that the filter lets through, page after page.
func (s *SourcesService) All(ctx context.Context, params AllParams) iter.Seq2[*Source, error] {
	return func(yield func(*Source, error) bool) {
		size := params.PageSize
		if size == 0 {
			size = 1000
		}
		for offset := 0; ; offset += size {
			page, err := s.List(ctx, ListParams{Filter: params.Filter, Limit: size, Offset: offset})
			if err != nil {
				yield(nil, err)
				return
			}
			for _, source := range page {
				if !yield(source, nil) {
					return
				}
			}
			if len(page) < size {
				return
			}
		}
	}
}
