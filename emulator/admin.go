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
	handle := func(pattern string, serve http.HandlerFunc) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if !s.fromHere(r) {
				writeDetail(w, http.StatusForbidden, "Only programs that call this server by its own address may use "+adminPath)
				return
			}
			serve(w, r)
		})
	}
	handle("GET /_emulator/faults", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, s.Faults())
	})
	handle("PUT /_emulator/faults", func(w http.ResponseWriter, r *http.Request) {
		var faults []Fault
		if !readAdmin(w, r, &faults, func() error { return s.SetFaults(faults) }) {
			return
		}
		writeJSON(w, http.StatusOK, s.Faults())
	})
	handle("DELETE /_emulator/faults", func(w http.ResponseWriter, _ *http.Request) {
		_ = s.SetFaults(nil) // nothing to refuse
		w.WriteHeader(http.StatusNoContent)
	})
	handle("GET /_emulator/requests", func(w http.ResponseWriter, r *http.Request) {
		if !r.URL.Query().Has("last") {
			writeJSON(w, http.StatusOK, s.Requests())
			return
		}
		n, err := strconv.Atoi(r.URL.Query().Get("last"))
		if err != nil || n < 0 {
			writeDetail(w, http.StatusBadRequest, "last is a number")
			return
		}
		writeJSON(w, http.StatusOK, s.LastRequests(n))
	})
	type clockState struct {
		Now    time.Time `json:"now"`
		Frozen bool      `json:"frozen"`
	}
	handle("GET /_emulator/clock", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, clockState{s.Now(), s.clock.Load().frozen})
	})
	handle("PUT /_emulator/clock", func(w http.ResponseWriter, r *http.Request) {
		state := clockState{s.Now(), s.clock.Load().frozen}
		if !readAdmin(w, r, &state, func() error { s.SetClock(state.Now, state.Frozen); return nil }) {
			return
		}
		writeJSON(w, http.StatusOK, clockState{s.Now(), s.clock.Load().frozen})
	})
	handle("POST /_emulator/token", func(w http.ResponseWriter, r *http.Request) {
		var spec TokenSpec
		if readAdmin(w, r, &spec, func() error { return nil }) {
			s.answerToken(w, spec)
		}
	})
	handle("POST /_emulator/accounts", func(w http.ResponseWriter, r *http.Request) {
		var account Account
		if readAdmin(w, r, &account, func() error { return s.AddAccount(account) }) {
			w.WriteHeader(http.StatusNoContent)
		}
	})
	handle("POST /_emulator/reset", func(w http.ResponseWriter, r *http.Request) {
		if err := s.Reset(r.Context()); err != nil {
			writeMessage(w, http.StatusInternalServerError, err.Error())
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

// readAdmin reads a JSON body and does something with it; what either has to
// say against it is answered.
func readAdmin(w http.ResponseWriter, r *http.Request, to any, do func() error) bool {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(to)
	if err == nil {
		err = do()
	}
	if err != nil {
		writeDetail(w, http.StatusBadRequest, err.Error())
	}
	return err == nil
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
