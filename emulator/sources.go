package emulator

import (
	"cmp"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/meti-go/meti/gen"
)

// columns are those that filters of the contract have in the table of sources.
// The other filters are members of its document.
var columns = map[string]string{"id": "s.ssid", "alt_id": "s.alt_id", "account_id": "s.account"}

// within is a filter for what the caller may touch: one account's sources, or
// an admin all.
func within(r *http.Request) (f filter) {
	x := exchangeOf(r)
	if x.who.Role != admin {
		f.add("s.account = ?", x.who.AccountID)
	}
	if x.met.lag > 0 {
		f.add("s.arrived <= ?", time.Now().Add(-x.met.lag).UnixMicro())
	}
	return f
}

// errNotFound answers for sources that are not there, or are another account's.
var errNotFound = &refusal{http.StatusNotFound, "Source not found"}

// ListSources streams the sources that match.
func (sv *service) ListSources(w http.ResponseWriter, r *http.Request, p gen.ListSourcesParams) {
	for name, value := range map[string]*int{"limit": p.Limit, "offset": p.Offset} {
		if value != nil && *value < 0 {
			sv.answer(w, r, nil, invalidQuery(name, "Input should be greater than or equal to 0", "greater_than_equal"))
			return
		}
	}
	query := r.URL.Query()
	f := within(r)
	for _, field := range gen.Filters() {
		column, value := cmp.Or(columns[field.Name], "s.document ->> '"+field.Name+"'"), any(query.Get(field.Name))
		if n, err := strconv.Atoi(query.Get(field.Name)); err == nil && field.Type == "integer" {
			value = n
		}
		if query.Has(field.Name) {
			f.add(column+" = ?", value)
		}
	}
	separator := "["
	err := sv.store.list(r.Context(), f, p.Limit, p.Offset, func(chunk string) error {
		w.Header().Set("Content-Type", "application/json") // counts before the first chunk
		_, err := io.WriteString(w, separator+chunk)
		separator = ","
		return err
	})
	switch {
	case err != nil && separator == ",":
		panic(http.ErrAbortHandler) // too late for a status: a list cut short must not look whole
	case separator == "[":
		sv.answer(w, r, []byte("[]"), err)
	default:
		_, _ = w.Write([]byte("]"))
	}
}

// GetSource answers one source.
func (sv *service) GetSource(w http.ResponseWriter, r *http.Request, sourceID string) {
	var answer []byte
	f := within(r)
	f.add(columns["id"]+" = ?", sourceID)
	err := sv.store.list(r.Context(), f, nil, nil, func(chunk string) error {
		answer = []byte(chunk)
		return nil
	})
	if err == nil && answer == nil {
		err = errNotFound
	}
	sv.answer(w, r, answer, err)
}

// DeleteSource deletes one source.
func (sv *service) DeleteSource(w http.ResponseWriter, r *http.Request, sourceID string) {
	sv.delete(w, r, "id", sourceID)
}

// DeleteSourcesByAltID deletes all sources that have the alt_id.
func (sv *service) DeleteSourcesByAltID(w http.ResponseWriter, r *http.Request, p gen.DeleteSourcesByAltIDParams) {
	if p.AltID == "" {
		sv.answer(w, r, nil, invalidQuery("alt_id", "String should have at least 1 character", "string_too_short"))
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
	sv.answer(w, r, nil, err)
}
