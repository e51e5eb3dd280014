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

// adminRoutes serves /_emulator/, for processes that cannot call [Server]:
//
//	GET    /_emulator/faults     the faults in force: a JSON array of texts
//	PUT    /_emulator/faults     replaces them by such an array
//	DELETE /_emulator/faults     ends them all
//	GET    /_emulator/requests   requests so far, a JSON object by operation;
//	                             with ?last=N an array of the last ones
//	GET    /_emulator/clock      {"now": …, "frozen": …}
//	PUT    /_emulator/clock      sets what is given of that
//	POST   /_emulator/token      makes a token, see TokenSpec
//	POST   /_emulator/accounts   adds an account, see Account
//	POST   /_emulator/reset      makes everything as it was at the start
func (s *Server) adminRoutes(mux *http.ServeMux) {
	// What serve answers is sent as JSON, or 204 for nothing.
	handle := func(pattern string, serve func(r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if !s.fromHere(r) {
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
	handle("PUT /_emulator/faults", func(r *http.Request) (any, error) {
		var faults []Fault
		err := readAdmin(r, &faults)
		if err == nil {
			err = s.SetFaults(faults)
		}
		return s.Faults(), err
	})
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
	handle("PUT /_emulator/clock", func(r *http.Request) (any, error) {
		var to clock
		to.Now, to.Frozen = s.now()
		err := readAdmin(r, &to)
		if err == nil {
			s.SetClock(to.Now, to.Frozen)
		}
		return to, err
	})
	handle("POST /_emulator/token", func(r *http.Request) (any, error) {
		var spec TokenSpec
		if err := readAdmin(r, &spec); err != nil {
			return nil, err
		}
		return s.grant(spec)
	})
	handle("POST /_emulator/accounts", func(r *http.Request) (any, error) {
		var account Account
		if err := readAdmin(r, &account); err != nil {
			return nil, err
		}
		return nil, s.AddAccount(account)
	})
	handle("POST /_emulator/reset", func(r *http.Request) (any, error) { return nil, s.Reset(r.Context()) })
}

func readAdmin(r *http.Request, to any) error {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	return decoder.Decode(to)
}

// fromHere reports whether no page in a browser sends a request, be it by
// another name of this machine: neither from another site, nor under a host
// that is not this server's.
func (s *Server) fromHere(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	if r.Header.Get("Origin") != "" || site != "" && site != "same-origin" && site != "none" {
		return false
	}
	host := (&url.URL{Host: r.Host}).Hostname()
	own, _ := url.Parse(s.URL) // it was checked
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback() || host == own.Hostname() || host != "" && host == s.listening
}
