package emulator

import (
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// adminPath is what the paths begin with that are the emulator's own.
const adminPath = "/_emulator/"

// adminRoutes serves what [Server] does to processes that cannot call it; see
// "meti emulator --help".
func (s *Server) adminRoutes(mux *http.ServeMux) {
	// What serve answers is sent as JSON, or 204 for nothing.
	handle := func(pattern string, serve func(r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if !s.fromProgram(r) {
				writeDetail(w, http.StatusForbidden, "Only programs that call this server by its own address may use "+adminPath)
				return
			}
			r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
			switch answer, err := serve(r); {
			case err != nil:
				writeDetail(w, http.StatusBadRequest, err.Error())
			case answer == nil:
				w.WriteHeader(http.StatusNoContent)
			default:
				writeJSON(w, http.StatusOK, answer)
			}
		})
	}
	handle("GET /_emulator/faults", func(*http.Request) (any, error) { return s.Faults(), nil })
	handle("DELETE /_emulator/faults", func(*http.Request) (any, error) { return nil, s.SetFaults(nil) })
	handle("PUT /_emulator/faults", reading(func(faults []Fault) (any, error) {
		err := s.SetFaults(faults)
		return s.Faults(), err
	}))
	handle("GET /_emulator/requests", func(r *http.Request) (any, error) {
		last := r.URL.Query().Get("last")
		if last == "" {
			return s.Requests(), nil
		}
		n, err := strconv.ParseUint(last, 10, 16)
		return s.LastRequests(int(n)), err
	})
	type clock struct {
		Now    time.Time `json:"now"`
		Frozen bool      `json:"frozen"`
	}
	handle("GET /_emulator/clock", func(*http.Request) (any, error) {
		now, frozen := s.now()
		return clock{now, frozen}, nil
	})
	handle("PUT /_emulator/clock", reading(func(to clock) (any, error) {
		if to.Now.IsZero() {
			to.Now = s.Now()
		}
		s.SetClock(to.Now, to.Frozen)
		return to, nil
	}))
	handle("POST /_emulator/token", reading(func(spec TokenSpec) (any, error) { return s.grant(spec) }))
	handle("POST /_emulator/accounts", reading(func(account Account) (any, error) { return nil, s.AddAccount(account) }))
	handle("POST /_emulator/reset", func(r *http.Request) (any, error) { return nil, s.Reset(r.Context()) })
}

// reading reads the JSON body that do wants.
func reading[T any](do func(T) (any, error)) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		var body T
		decoder := json.NewDecoder(r.Body)
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&body); err != nil {
			return nil, err
		}
		return do(body)
	}
}

// fromProgram reports whether a program sends a request, and no page in a
// browser: one of another site, or one that reaches this machine by a host name
// of its own.
func (s *Server) fromProgram(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	if r.Header.Get("Origin") != "" || site != "" && site != "same-origin" && site != "none" {
		return false
	}
	host := (&url.URL{Host: r.Host}).Hostname()
	own, _ := url.Parse(s.URL) // it was checked
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback() || host == own.Hostname() || host != "" && host == s.listening
}
