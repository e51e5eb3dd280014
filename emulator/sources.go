package emulator

import (
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/meti-go/meti/gen"
)

// columns says where each filter of the contract is applied: in SQL, on the
// source s. What stands in a source's attribute is in its document.
var columns = map[string]string{
	"id": "s.ssid", "alt_id": "s.alt_id", "account_id": "s.account",
	"methodology":            "s.document ->> 'methodology'",
	"steward_id":             "s.document ->> 'steward_id'",
	"project_id":             "s.document ->> 'project_id'",
	"outcome_reporting_year": "s.document ->> 'outcome_reporting_year'",
}

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

// fail answers for an error that is the emulator's own.
func (sv *service) fail(w http.ResponseWriter, r *http.Request, err error) {
	sv.server.options.Log.Error("request failed", slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Any("error", err))
	writeMessage(w, http.StatusInternalServerError, "Internal server error")
}

// ListSources streams the sources that match.
func (sv *service) ListSources(w http.ResponseWriter, r *http.Request, _ gen.ListSourcesParams) {
	query := r.URL.Query()
	page := map[string]int{"limit": -1, "offset": 0}
	for name := range page {
		if query.Has(name) {
			page[name], _ = strconv.Atoi(query.Get(name)) // the generated code has checked it
		}
		if page[name] < 0 && query.Has(name) {
			writeField(w, fieldError{[]any{"query", name}, "Input should be greater than or equal to 0", "greater_than_equal"})
			return
		}
	}
	f := within(r)
	for _, field := range gen.Filters() {
		column, value := columns[field.Name], any(query.Get(field.Name))
		if n, err := strconv.Atoi(query.Get(field.Name)); err == nil && field.Type == "integer" {
			value = n
		}
		if column != "" && query.Has(field.Name) {
			f.add(column+" = ?", value)
		}
	}
	separator := "["
	err := sv.store.list(r.Context(), f, page["limit"], page["offset"], func(chunk []byte) error {
		w.Header().Set("Content-Type", "application/json") // counts before the first chunk
		_, err := io.WriteString(w, separator)
		if separator = ","; err == nil {
			_, err = w.Write(chunk)
		}
		return err
	})
	switch {
	case err != nil && separator == ",":
		panic(http.ErrAbortHandler) // too late for a status: a list cut short must not look whole
	case err != nil:
		sv.fail(w, r, err)
	case separator == "[":
		writeBytes(w, http.StatusOK, []byte("[]"))
	default:
		_, _ = w.Write([]byte("]"))
	}
}

// GetSource answers one source.
func (sv *service) GetSource(w http.ResponseWriter, r *http.Request, sourceID string) {
	var answer []byte
	f := within(r)
	f.add(columns["id"]+" = ?", sourceID)
	err := sv.store.list(r.Context(), f, 1, 0, func(chunk []byte) error {
		answer = append(answer, chunk...)
		return nil
	})
	switch {
	case err != nil:
		sv.fail(w, r, err)
	case answer == nil:
		writeDetail(w, http.StatusNotFound, "Source not found")
	default:
		writeBytes(w, http.StatusOK, answer)
	}
}

// DeleteSource deletes one source.
func (sv *service) DeleteSource(w http.ResponseWriter, r *http.Request, sourceID string) {
	sv.delete(w, r, "id", sourceID)
}

// DeleteSourcesByAltID deletes all sources that have the alt_id.
func (sv *service) DeleteSourcesByAltID(w http.ResponseWriter, r *http.Request, p gen.DeleteSourcesByAltIDParams) {
	if p.AltID == "" {
		writeField(w, fieldError{[]any{"query", "alt_id"}, "String should have at least 1 character", "string_too_short"})
		return
	}
	sv.delete(w, r, "alt_id", p.AltID)
}

func (sv *service) delete(w http.ResponseWriter, r *http.Request, by, value string) {
	f := within(r)
	f.add(columns[by]+" = ?", value)
	deleted, err := sv.store.remove(f, sv.server.Now)
	switch {
	case err != nil:
		sv.fail(w, r, err)
	case deleted == 0:
		writeDetail(w, http.StatusNotFound, "Source not found")
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}
