package emulator

import (
	"cmp"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/meti-go/meti/gen"
)

// columns are those that filters of the contract have in the table of sources.
// The other filters are attributes, which are members of its document; one that
// is neither is not applied, and TestEveryFilterIsApplied says so.
var columns = map[string]string{"id": "s.ssid", "alt_id": "s.alt_id", "account_id": "s.account"}

// within is a filter for what the caller may touch: one account's sources, or
// an admin all.
func within(r *http.Request) (f filter) {
	x := exchangeOf(r)
	if x.who.Role != admin {
		f.add("s.account = ?", x.who.AccountID)
	}
	if x.lag > 0 {
		f.add("s.arrived <= ?", time.Now().Add(-x.lag).UnixMicro())
	}
	return f
}

// errNotFound answers for sources that are not there, or are another account's.
var errNotFound = refuse(http.StatusNotFound, "Source not found")

// CreateSources registers sources, all or none.
func (sv *service) CreateSources(w http.ResponseWriter, r *http.Request) {
	answers, err := sv.create(exchangeOf(r))
	sv.server.answer(w, r, []byte("["+strings.Join(answers, ",")+"]"), err)
}

func (sv *service) create(x *exchange) ([]string, error) {
	seen := int64(math.MaxInt64) // the newest source that conflicts are looked for with
	if x.blind {
		newest, err := values[int64](sv.store, "SELECT coalesce(max(id), 0) FROM source")
		if err != nil {
			return nil, err
		}
		seen = newest[0]
	}
	news, err := sv.judge(func() creation { return readCreation(x.body) }, x.who.AccountID, x.who.Role == admin)
	if err != nil {
		return nil, err
	}
	x.wait(x.lasting)
	if sv.sandbox && !sv.server.options.SandboxConflicts {
		seen = -1
	}
	return sv.store.register(news, sv.server.Now, seen)
}

// ListSources streams the sources that match.
func (sv *service) ListSources(w http.ResponseWriter, r *http.Request, p gen.ListSourcesParams) {
	for name, value := range map[string]*int{"limit": p.Limit, "offset": p.Offset} {
		if value != nil && *value < 0 {
			sv.server.answer(w, r, nil, refuseQuery(name, "Input should be greater than or equal to 0", "greater_than_equal"))
			return
		}
	}
	query := r.URL.Query()
	f := within(r)
	for _, field := range gen.Filters() {
		column := columns[field.Name]
		if slices.ContainsFunc(gen.Attributes(), func(a gen.Field) bool { return a.Name == field.Name }) {
			column = cmp.Or(column, "CAST(s.document ->> '"+field.Name+"' AS TEXT)")
		}
		if column != "" && query.Has(field.Name) {
			f.add(column+" = ?", query.Get(field.Name))
		}
	}
	separator := "["
	err := sv.store.list(r.Context(), f, p.Limit, p.Offset, func(chunk string) error {
		if separator == "[" {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusOK)
		}
		_, err := io.WriteString(w, separator+chunk)
		separator = ","
		return err
	})
	switch {
	case separator == "[":
		sv.server.answer(w, r, []byte("[]"), err)
	case err != nil:
		drop() // too late for a status: a list cut short must not look whole
	default:
		_, _ = w.Write([]byte("]"))
	}
}

// GetSource answers one source.
func (sv *service) GetSource(w http.ResponseWriter, r *http.Request, sourceID string) {
	f := within(r)
	f.add(columns["id"]+" = ?", sourceID)
	found, err := sv.store.answers(f)
	if err == nil && len(found) == 0 {
		err = errNotFound
	}
	sv.server.answer(w, r, []byte(strings.Join(found, "")), err)
}

// DeleteSource deletes one source.
func (sv *service) DeleteSource(w http.ResponseWriter, r *http.Request, sourceID string) {
	sv.delete(w, r, "id", sourceID)
}

// DeleteSourcesByAltID deletes all sources that have the alt_id.
func (sv *service) DeleteSourcesByAltID(w http.ResponseWriter, r *http.Request, p gen.DeleteSourcesByAltIDParams) {
	if p.AltID == "" {
		sv.server.answer(w, r, nil, refuseQuery("alt_id", "String should have at least 1 character", "string_too_short"))
		return
	}
	sv.delete(w, r, "alt_id", p.AltID)
}

func (sv *service) delete(w http.ResponseWriter, r *http.Request, by, value string) {
	f := within(r)
	f.add(columns[by]+" = ?", value)
	deleted, err := sv.store.remove(f, sv.server.Now)
	if err == nil && deleted == 0 {
		err = errNotFound
	}
	sv.server.answer(w, r, nil, err)
}
