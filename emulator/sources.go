package emulator

import (
	"log/slog"
	"net/http"
	"strconv"

	"github.com/meti-go/meti/gen"
)

// columns says where each filter of the contract is applied: in SQL, on the
// source s. What a filter's attribute holds is in its document.
var columns = map[string]string{
	"id":                     "s.ssid",
	"alt_id":                 "s.alt_id",
	"account_id":             "s.account",
	"methodology":            "s.document ->> 'methodology'",
	"steward_id":             "s.document ->> 'steward_id'",
	"project_id":             "s.document ->> 'project_id'",
	"outcome_reporting_year": "s.document ->> 'outcome_reporting_year'",
}

// integers are the filters that are numbers.
var integers = func() map[string]bool {
	numbers := map[string]bool{"limit": true, "offset": true}
	for _, f := range gen.Filters() {
		numbers[f.Name] = f.Type == "integer"
	}
	return numbers
}()

// within is a filter for what the caller may touch: one account's sources, or
// an admin all.
func within(r *http.Request) filter {
	x := exchangeOf(r)
	f := filter{equal: make(map[string]any), account: x.who.account, lag: x.met.lag}
	if x.who.admin {
		f.account = ""
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
	f := within(r)
	for name := range query {
		value := any(query.Get(name))
		if n, err := strconv.Atoi(query.Get(name)); err == nil && integers[name] { // checked before
			value = n
		}
		if _, ok := page[name]; ok {
			if page[name], ok = value.(int); !ok || page[name] < 0 {
				writeFields(w, fieldError{[]any{"query", name}, "Input should be greater than or equal to 0", "greater_than_equal"})
				return
			}
		}
		if column := columns[name]; column != "" {
			f.equal[column] = value
		}
	}
	separator := []byte("[")
	err := sv.store.list(r.Context(), f, page["limit"], page["offset"], func(chunk []byte) error {
		if separator[0] == '[' {
			w.Header().Set("Content-Type", "application/json")
		}
		if _, err := w.Write(separator); err != nil {
			return err
		}
		separator = []byte(",")
		_, err := w.Write(chunk)
		return err
	})
	switch {
	case err != nil && separator[0] == ',':
		panic(http.ErrAbortHandler) // too late for a status: a list cut short must not look whole
	case err != nil:
		sv.fail(w, r, err)
	case separator[0] == '[':
		writeBytes(w, http.StatusOK, []byte("[]"))
	default:
		_, _ = w.Write([]byte("]"))
	}
}

// GetSource answers one source.
func (sv *service) GetSource(w http.ResponseWriter, r *http.Request, sourceID string) {
	var answer []byte
	f := within(r)
	f.equal[columns["id"]] = sourceID
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
	sv.delete(w, r, columns["id"], sourceID)
}

// DeleteSourcesByAltID deletes all sources that have the alt_id.
func (sv *service) DeleteSourcesByAltID(w http.ResponseWriter, r *http.Request, p gen.DeleteSourcesByAltIDParams) {
	if p.AltID == "" {
		writeFields(w, fieldError{[]any{"query", "alt_id"}, "String should have at least 1 character", "string_too_short"})
		return
	}
	sv.delete(w, r, columns["alt_id"], p.AltID)
}

func (sv *service) delete(w http.ResponseWriter, r *http.Request, column, value string) {
	f := within(r)
	f.equal[column] = value
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
