package emulator

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/meti-go/meti"
	"github.com/meti-go/meti/emulator/internal/httpapi"
	"github.com/meti-go/meti/gen"
)

// service implements the operations of openapi.yaml on one store.
type service struct {
	server *Server
	store  *store
}

type callerKey struct{}

// callerOf is who makes the request; guard has put it there.
func callerOf(r *http.Request) caller { return r.Context().Value(callerKey{}).(caller) }

// routes lays out the port.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for prefix, st := range map[string]*store{"": s.production, "/sandbox": s.sandbox} {
		operations := httpapi.HandlerWithOptions(&service{s, st}, httpapi.StdHTTPServerOptions{
			BaseURL:          prefix,
			ErrorHandlerFunc: refuseParameter,
		})
		for _, o := range gen.Operations {
			if prefix != "" && o.ID == gen.OperationRequestToken.ID {
				continue // the sandbox has no tokens of its own
			}
			mux.Handle(o.Method+" "+prefix+o.Path, s.operation(o, s.guard(o, operations)))
		}
	}
	mux.HandleFunc("GET /.well-known/jwks.json", s.serveKeys)
	mux.HandleFunc("GET /.well-known/openid-configuration", s.serveConfiguration)
	mux.HandleFunc("GET /openapi.yaml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(meti.OpenAPI)
	})
	if s.options.Admin {
		s.adminRoutes(mux)
	}
	return s.outermost(mux)
}

// outermost answers what no route takes in METI's shape, logs, and keeps count
// of what is under way.
func (s *Server) outermost(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.work.begin() {
			panic(http.ErrAbortHandler)
		}
		defer s.work.end()
		answer := &recorder{ResponseWriter: w}
		if s.options.Log != nil {
			start := time.Now()
			defer func() {
				s.options.Log.LogAttrs(context.Background(), slog.LevelInfo, "request",
					slog.String("method", r.Method),
					slog.String("path", r.URL.Path),
					slog.Int("status", answer.status), // 0: none was sent
					slog.Int64("bytes", answer.bytes),
					slog.Duration("took", time.Since(start)),
				)
			}()
		}
		if _, pattern := mux.Handler(r); pattern == "" {
			allow := http.Header{}
			mux.ServeHTTP(&headersOnly{allow}, r)
			if methods := allow.Get("Allow"); methods != "" {
				answer.Header().Set("Allow", methods)
				writeDetail(answer, http.StatusMethodNotAllowed, "Method Not Allowed")
				return
			}
			writeDetail(answer, http.StatusNotFound, "Not Found")
			return
		}
		mux.ServeHTTP(answer, r)
	})
}

// operation counts a request and puts the faults around it.
func (s *Server) operation(o gen.Operation, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.count(o.ID)
		s.withFaults(o, next).ServeHTTP(w, r)
	})
}

// guard lets those through whose token is good for the operation.
func (s *Server) guard(o gen.Operation, next http.Handler) http.Handler {
	if len(o.Scopes) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, refused := s.verify(r.Header.Get("Authorization"))
		if refused != "" {
			w.Header().Set("WWW-Authenticate", "Bearer")
			writeDetail(w, http.StatusUnauthorized, refused)
			return
		}
		for _, scope := range o.Scopes {
			if !slices.Contains(who.scopes, scope) {
				writeDetail(w, http.StatusForbidden, "Missing required scope: "+scope)
				return
			}
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, who)))
	})
}

// refuseParameter answers for a query that the generated server cannot read.
func refuseParameter(w http.ResponseWriter, _ *http.Request, err error) {
	missing := new(httpapi.RequiredParamError)
	invalid := new(httpapi.InvalidParamFormatError)
	switch {
	case errors.As(err, &missing):
		writeFields(w, fieldError{[]any{"query", missing.ParamName}, "Field required", "missing"})
	case errors.As(err, &invalid):
		writeFields(w, fieldError{[]any{"query", invalid.ParamName}, "Input should be a valid integer", "int_parsing"})
	default:
		writeDetail(w, http.StatusBadRequest, err.Error())
	}
}

// recorder remembers what was answered, for the log.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController flush.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// headersOnly takes an answer's headers and drops the rest.
type headersOnly struct{ header http.Header }

func (h *headersOnly) Header() http.Header         { return h.header }
func (h *headersOnly) Write(p []byte) (int, error) { return len(p), nil }
func (h *headersOnly) WriteHeader(int)             {}
