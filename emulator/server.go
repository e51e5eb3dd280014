package emulator

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/meti-go/meti"
	"github.com/meti-go/meti/emulator/internal/httpapi"
	"github.com/meti-go/meti/gen"
)

// service implements the operations of openapi.yaml on one store.
type service struct {
	server  *Server
	store   *store
	sandbox bool
}

var _ httpapi.ServerInterface = (*service)(nil)

// routes lays out the port.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for prefix, sv := range map[string]*service{"": {s, s.production, false}, "/sandbox": {s, s.sandbox, true}} {
		operations := httpapi.HandlerWithOptions(sv, httpapi.StdHTTPServerOptions{
			BaseURL:          prefix,
			ErrorHandlerFunc: refuseParameter,
		})
		for _, o := range gen.Operations() {
			if sv.sandbox && (o.ID == gen.OperationRequestToken.ID || o.Method == http.MethodDelete) {
				continue // the sandbox has no tokens of its own, and nothing is deleted in it [S]
			}
			mux.Handle(o.Method+" "+prefix+o.Path, s.operation(o, sv.store, s.guard(o, operations)))
		}
	}
	mux.HandleFunc("GET /.well-known/jwks.json", s.serveKeys)
	mux.HandleFunc("GET /.well-known/openid-configuration", s.serveConfiguration)
	contract := ownContract(s.URL)
	mux.HandleFunc("GET /openapi.yaml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(contract)
	})
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		var value any
		if err := yaml.Unmarshal(contract, &value); err != nil {
			panic(err) // a test reads it
		}
		writeJSON(w, http.StatusOK, value)
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	if s.options.Admin {
		s.adminRoutes(mux)
	}
	return s.outermost(mux)
}

var (
	servers  = regexp.MustCompile(`(?m)^( *)servers:\n(?: *#.*\n|\s+- .*\n|\s+\s.*\n)+`)
	tokenURL = regexp.MustCompile(`tokenUrl: \S+`)
)

// ownContract is openapi.yaml with this server in the place of all others, so
// that no tool that reads it sends anything to the real ones.
func ownContract(url string) []byte {
	text := servers.ReplaceAll(meti.OpenAPI, []byte("${1}servers:\n${1}  - url: "+url+"\n${1}    description: This emulator\n"))
	return tokenURL.ReplaceAll(text, []byte("tokenUrl: "+url+"/oauth/token"))
}

// outermost puts around everything what every request needs: it counts what is
// under way, notes and logs it, answers browsers, and answers in METI's shape
// what no route takes.
func (s *Server) outermost(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.begin() {
			panic(http.ErrAbortHandler)
		}
		defer s.work.Done()
		request := &Request{Method: r.Method, Path: s.scrub(r.URL.EscapedPath()), Query: s.scrub(r.URL.RawQuery), Time: s.Now()}
		if !strings.HasPrefix(r.URL.Path, adminPath) {
			s.log.add(request)
		}
		answer := &recorder{ResponseWriter: w, log: &s.log, request: request, controller: http.NewResponseController(w)}
		answer.extend()
		if r.ContentLength != 0 {
			_ = answer.controller.SetReadDeadline(time.Now().Add(patience))
		}
		start := time.Now()
		defer func() {
			s.options.Log.LogAttrs(context.Background(), slog.LevelInfo, "request",
				slog.String("method", r.Method),
				slog.String("path", request.Path),
				slog.Int("status", request.Status), // 0: none was sent
				slog.Int64("bytes", answer.bytes),
				slog.Duration("took", time.Since(start)),
			)
		}()
		if s.crossOrigin(answer, r) {
			return
		}
		if path.Clean(r.URL.Path) != r.URL.Path {
			s.redirectSlashes(mux, answer, r)
			return
		}
		if _, pattern := mux.Handler(r); pattern == "" {
			if methods := keep(mux, r).header.Get("Allow"); methods != "" {
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

// redirectSlashes answers for a path that is none: as FastAPI, whose errors
// METI's are, by Starlette's Router with redirect_slashes. It takes no path for
// another, but tells where one without slashes at its end is.
func (s *Server) redirectSlashes(mux *http.ServeMux, w http.ResponseWriter, r *http.Request) {
	to := *r.URL
	to.Path, to.RawPath = strings.TrimRight(to.Path, "/"), ""
	_, pattern := mux.Handler(&http.Request{Method: http.MethodGet, Host: r.Host, URL: &to})
	if path.Clean(to.Path) != to.Path || !strings.Contains(pattern, gen.OperationListSources.Path) {
		writeDetail(w, http.StatusNotFound, "Not Found")
		return
	}
	to.Scheme, _, _ = strings.Cut(s.URL, ":")
	to.Host = r.Host
	w.Header().Set("Location", to.String())
	w.WriteHeader(http.StatusTemporaryRedirect)
}

// crossOrigin tells browsers that pages of [Options.CORS] may read the answers,
// and answers their preflight requests, which it then reports.
func (s *Server) crossOrigin(w http.ResponseWriter, r *http.Request) (answered bool) {
	origin := r.Header.Get("Origin")
	if origin == "" || len(s.options.CORS) == 0 || strings.HasPrefix(r.URL.Path, "/_emulator/") {
		return false
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	if !slices.Contains(s.options.CORS, origin) && !slices.Contains(s.options.CORS, "*") {
		return false
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "Retry-After, WWW-Authenticate, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Auth0-Client-Quota-Limit")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, POST, DELETE")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
	w.WriteHeader(http.StatusNoContent)
	return true
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
		exchangeOf(r).who = who
		next.ServeHTTP(w, r)
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
