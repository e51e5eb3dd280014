package emulator

import (
	"log/slog"
	"net/http"

	"github.com/meti-go/meti/gen"
)

// scopeOf is whose sources the caller may touch.
func scopeOf(r *http.Request) scope {
	who := callerOf(r)
	if who.admin {
		return ""
	}
	return scope(who.account)
}

// fail answers for an error that is the emulator's own.
func (sv *service) fail(w http.ResponseWriter, r *http.Request, err error) {
	if log := sv.server.options.Log; log != nil {
		log.Error("request failed", slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Any("error", err))
	}
	writeMessage(w, http.StatusInternalServerError, "Internal server error")
}

// ListSources streams the sources that match.
func (sv *service) ListSources(w http.ResponseWriter, r *http.Request, p gen.ListSourcesParams) {
	limit, offset := -1, 0
	for _, n := range []struct {
		name string
		from *int
		to   *int
	}{{"limit", p.Limit, &limit}, {"offset", p.Offset, &offset}} {
		if n.from == nil {
			continue
		}
		if *n.from < 0 {
			writeFields(w, fieldError{[]any{"query", n.name}, "Input should be greater than or equal to 0", "greater_than_equal"})
			return
		}
		*n.to = *n.from
	}
	f := filter{
		within: scopeOf(r), ssid: p.ID, altID: p.AltID, account: p.AccountID,
		methodology: p.Methodology, steward: p.StewardID, project: p.ProjectID, year: p.OutcomeReportingYear,
	}
	separator := []byte("[")
	err := sv.store.list(r.Context(), f, metBy(r).lag, limit, offset, func(chunk []byte) error {
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
	f := filter{within: scopeOf(r), ssid: &sourceID}
	err := sv.store.list(r.Context(), f, metBy(r).lag, 1, 0, func(chunk []byte) error {
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
	sv.delete(w, r, filter{within: scopeOf(r), ssid: &sourceID})
}

// DeleteSourcesByAltID deletes all sources that have the alt_id.
func (sv *service) DeleteSourcesByAltID(w http.ResponseWriter, r *http.Request, p gen.DeleteSourcesByAltIDParams) {
	if p.AltID == "" {
		writeFields(w, fieldError{[]any{"query", "alt_id"}, "String should have at least 1 character", "string_too_short"})
		return
	}
	sv.delete(w, r, filter{within: scopeOf(r), altID: &p.AltID})
}

func (sv *service) delete(w http.ResponseWriter, r *http.Request, f filter) {
	deleted, err := sv.store.remove(f)
	switch {
	case err != nil:
		sv.fail(w, r, err)
	case deleted == 0:
		writeDetail(w, http.StatusNotFound, "Source not found")
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}
