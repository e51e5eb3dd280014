package emulator

import (
	"encoding/json"
	"net/http"
)

// adminRoutes serves /_emulator/, for processes that cannot call [Server]:
//
//	GET    /_emulator/faults     the faults in force: a JSON array of texts
//	PUT    /_emulator/faults     replaces them by such an array
//	DELETE /_emulator/faults     ends them all
//	GET    /_emulator/requests   requests so far, a JSON object by operation
//	POST   /_emulator/reset      deletes all sources and counts
func (s *Server) adminRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /_emulator/faults", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, s.Faults())
	})
	mux.HandleFunc("PUT /_emulator/faults", func(w http.ResponseWriter, r *http.Request) {
		var faults []Fault
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&faults)
		if err == nil {
			err = s.SetFaults(faults)
		}
		if err != nil {
			writeDetail(w, http.StatusBadRequest, err.Error())
			return
		}
		writeJSON(w, http.StatusOK, s.Faults())
	})
	mux.HandleFunc("DELETE /_emulator/faults", func(w http.ResponseWriter, _ *http.Request) {
		_ = s.SetFaults(nil) // nothing to refuse
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /_emulator/requests", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, s.Requests())
	})
	mux.HandleFunc("POST /_emulator/reset", func(w http.ResponseWriter, r *http.Request) {
		if err := s.Reset(r.Context()); err != nil {
			writeMessage(w, http.StatusInternalServerError, err.Error())
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}
