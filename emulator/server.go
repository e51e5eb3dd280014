package emulator

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/meti-go/meti"
	"github.com/meti-go/meti/emulator/internal/httpapi"
	"github.com/meti-go/meti/gen"
	"github.com/rs/cors"
	"go.yaml.in/yaml/v3"
)

// service implements the operations of openapi.yaml on one store.
type service struct {
	server  *Server
	store   *store
	sandbox bool
}

// routes lays out the port.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for prefix, sv := range map[string]*service{"": {s, s.production, false}, "/sandbox": {s, s.sandbox, true}} {
		operations := httpapi.HandlerWithOptions(sv, httpapi.StdHTTPServerOptions{BaseURL: prefix, ErrorHandlerFunc: refuseParameter})
		for _, o := range gen.Operations() {
			if sv.sandbox && (o.ID == gen.OperationRequestToken.ID || o.Method == http.MethodDelete) {
				continue // the sandbox has no tokens of its own, and nothing is deleted in it [S]
			}
			mux.Handle(o.Method+" "+prefix+o.Path, s.operation(o, sv.store, guard(o, operations)))
		}
	}
	for path, value := range map[string]any{
		"/.well-known/jwks.json":            jose.JSONWebKeySet{Keys: []jose.JSONWebKey{s.keys.public}},
		"/.well-known/openid-configuration": s.configuration(),
		"/healthz":                          map[string]string{"status": "ok"},
	} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, value) })
	}
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
	if s.options.Admin {
		s.adminRoutes(mux)
	}
	return s.outermost(s.likeFastAPI(mux))
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
// under way, notes and logs it, and tells browsers which pages may read it.
func (s *Server) outermost(next http.Handler) http.Handler {
	if len(s.options.CORS) > 0 {
		next = cors.New(cors.Options{
			AllowedOrigins: s.options.CORS,
			AllowedMethods: []string{"GET", "POST", "DELETE"},
			AllowedHeaders: []string{"Authorization", "Content-Type"},
			ExposedHeaders: []string{"Retry-After", "WWW-Authenticate", "X-RateLimit-Reset", "Auth0-Client-Quota-Limit"},
		}).Handler(next)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.begin() {
			panic(http.ErrAbortHandler)
		}
		defer s.work.Done()
		request := &Request{Method: r.Method, Path: s.scrub(r.URL.EscapedPath()), Query: s.scrub(r.URL.RawQuery), Time: s.Now()}
		if !strings.HasPrefix(r.URL.Path, adminPath) {
			s.mutex.Lock()
			s.last = append(s.last[max(0, len(s.last)-999):], request)
			s.mutex.Unlock()
		}
		answer := &recorder{ResponseWriter: w, server: s, request: request}
		start := time.Now()
		defer func() {
			s.options.Log.Info("request", "method", r.Method, "path", request.Path,
				"status", request.Status, "bytes", answer.bytes, "took", time.Since(start)) // status 0: none was sent
		}()
		next.ServeHTTP(answer, r)
	})
}

// likeFastAPI answers what no route takes as Starlette's Router does: in METI's
// shape, and with a redirect to where a path without slashes at its end is.
func (s *Server) likeFastAPI(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		plain := *r.URL
		plain.Path, plain.RawPath = strings.TrimRight(plain.Path, "/"), ""
		_, pattern := mux.Handler(r)
		_, plainPattern := mux.Handler(&http.Request{Method: http.MethodGet, Host: r.Host, URL: &plain})
		clean := path.Clean(r.URL.Path) == r.URL.Path
		if clean && pattern != "" {
			mux.ServeHTTP(w, r)
		} else if !clean && path.Clean(plain.Path) == plain.Path && strings.Contains(plainPattern, gen.OperationListSources.Path) {
			plain.Scheme, _, _ = strings.Cut(s.URL, ":")
			plain.Host = r.Host
			w.Header().Set("Location", plain.String())
			w.WriteHeader(http.StatusTemporaryRedirect)
		} else if allow := keep(mux, r).header.Get("Allow"); clean && allow != "" {
			w.Header().Set("Allow", allow)
			writeDetail(w, http.StatusMethodNotAllowed, "Method Not Allowed")
		} else {
			writeDetail(w, http.StatusNotFound, "Not Found")
		}
	})
}

// guard lets those through whose token is good for the operation.
func guard(o gen.Operation, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := exchangeOf(r)
		for _, scope := range o.Scopes { // none for a token
			if x.refused != "" {
				writeDetail(w, http.StatusUnauthorized, x.refused)
				return
			}
			if !slices.Contains(strings.Fields(x.who.Scope), scope) {
				writeDetail(w, http.StatusForbidden, "Missing required scope: "+scope)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// refuseParameter answers for a query that the generated server cannot read.
func refuseParameter(w http.ResponseWriter, r *http.Request, err error) {
	missing, invalid := new(httpapi.RequiredParamError), new(httpapi.InvalidParamFormatError)
	switch {
	case errors.As(err, &missing):
		err = invalidQuery(missing.ParamName, "Field required", "missing")
	case errors.As(err, &invalid):
		err = invalidQuery(invalid.ParamName, "Input should be a valid integer", "int_parsing")
	default:
		err = &refusal{http.StatusBadRequest, err.Error()}
	}
	new(service).answer(w, r, nil, err)
}

// answer sends what an operation gives, or why it gives nothing.
func (sv *service) answer(w http.ResponseWriter, r *http.Request, body []byte, err error) {
	refused := new(refusal)
	switch {
	case errors.As(err, &refused):
		writeDetail(w, refused.status, refused.detail)
	case err != nil:
		sv.server.options.Log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		writeMessage(w, http.StatusInternalServerError, "Internal server error")
	case body == nil:
		w.WriteHeader(http.StatusNoContent)
	default:
		writeBytes(w, http.StatusOK, body)
	}
}

// writeDetail answers {"detail": …}, a text or a list of fieldError [L]. All
// shapes of errors are in the schema Error of openapi.yaml.
func writeDetail(w http.ResponseWriter, status int, detail any) {
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	writeJSON(w, status, map[string]any{"detail": detail})
}

// writeMessage answers {"status": 500, "message": "text"}, the older shape [V1].
func writeMessage(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, map[string]any{"status": status, "message": message})
}

// writeTokenError answers as Auth0 does (RFC 6749, section 5.2).
func writeTokenError(w http.ResponseWriter, status int, code, description string) {
	writeJSON(w, status, map[string]any{"error": code, "error_description": description})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		panic(err) // made of strings and numbers only
	}
	writeBytes(w, status, body)
}

func writeBytes(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may have gone
}

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
