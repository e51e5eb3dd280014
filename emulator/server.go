package emulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path"
	"regexp"
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
		operations := httpapi.HandlerWithOptions(sv, httpapi.StdHTTPServerOptions{BaseURL: prefix, ErrorHandlerFunc: s.refuseParameter})
		for _, o := range gen.Operations() {
			if sv.sandbox && (o.ID == gen.OperationRequestToken.ID || o.Method == http.MethodDelete) {
				continue // the sandbox has no tokens of its own, and nothing is deleted in it [S]
			}
			mux.Handle(o.Method+" "+prefix+o.Path, sv.operation(o, operations))
		}
	}
	contract := ownContract(s.URL)
	var asJSON any
	if err := yaml.Unmarshal(contract, &asJSON); err != nil {
		panic(err) // it is a part of the program
	}
	for path, value := range map[string]any{
		"/.well-known/jwks.json":            jose.JSONWebKeySet{Keys: []jose.JSONWebKey{s.key.Public()}},
		"/.well-known/openid-configuration": s.configuration(),
		"/healthz":                          map[string]string{"status": "ok"},
		"/openapi.json":                     asJSON,
	} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, value, nil) })
	}
	mux.HandleFunc("GET /openapi.yaml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write(contract)
	})
	if s.options.Admin {
		s.adminRoutes(mux)
	}
	if len(s.options.CORS) == 0 {
		return s.record(s.likeFastAPI(mux))
	}
	return s.record(cors.New(cors.Options{
		AllowedOrigins: s.options.CORS,
		AllowedMethods: []string{"GET", "POST", "DELETE"},
		AllowedHeaders: []string{"Authorization", "Content-Type"},
		ExposedHeaders: []string{"Retry-After", "WWW-Authenticate", "X-RateLimit-Reset", "Auth0-Client-Quota-Limit"},
	}).Handler(s.likeFastAPI(mux)))
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

// slashed is the path of an operation on sources with slashes at its end.
var slashed = regexp.MustCompile(`^((?:/sandbox)?/sources(?:/[^/]+)?)/+$`)

// likeFastAPI answers what no route takes as Starlette's Router does: in METI's
// shape, and with a redirect to where a path without slashes at its end is.
func (s *Server) likeFastAPI(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, pattern := mux.Handler(r)
		clean := path.Clean(r.URL.Path) == r.URL.Path // else net/http would redirect
		if clean && pattern != "" {
			mux.ServeHTTP(w, r)
		} else if found := slashed.FindStringSubmatch(r.URL.Path); found != nil {
			to := *r.URL
			to.Scheme, _, _ = strings.Cut(s.URL, ":")
			to.Host, to.Path, to.RawPath = r.Host, found[1], ""
			w.Header().Set("Location", to.String())
			w.WriteHeader(http.StatusTemporaryRedirect)
		} else if !clean {
			s.answer(w, r, nil, refuse(http.StatusNotFound, "Not Found"))
		} else if allow := keep(mux.ServeHTTP, r).header.Get("Allow"); allow != "" {
			w.Header().Set("Allow", allow)
			s.answer(w, r, nil, refuse(http.StatusMethodNotAllowed, "Method Not Allowed"))
		} else {
			s.answer(w, r, nil, refuse(http.StatusNotFound, "Not Found"))
		}
	})
}

// refusal is an answer that is no success.
type refusal struct {
	status int
	body   any // what is written as JSON; nothing if nil
}

func (e *refusal) Error() string {
	body, _ := json.Marshal(e.body) // made of strings and numbers only
	return fmt.Sprintf("%d %s", e.status, body)
}

// refuse is METI's answer {"detail": …}, a text or a list of fieldError [L]. All
// shapes of errors are in the schema Error of openapi.yaml.
func refuse(status int, detail any) error {
	return &refusal{status, map[string]any{"detail": detail}}
}

// fieldError is one entry of a detail under 422, the framework's validation
// error [L].
type fieldError struct {
	Loc  []any  `json:"loc"` // "body" or "query", then names and indexes
	Msg  string `json:"msg"`
	Type string `json:"type"`
}

func refuseQuery(name, message, kind string) error {
	return refuse(http.StatusUnprocessableEntity, []fieldError{{[]any{"query", name}, message, kind}})
}

// refuseToken is Auth0's answer (RFC 6749, section 5.2).
func refuseToken(status int, code, description string) error {
	return &refusal{status, map[string]any{"error": code, "error_description": description}}
}

// refuseParameter answers for a query that the generated server cannot read.
func (s *Server) refuseParameter(w http.ResponseWriter, r *http.Request, err error) {
	if missing, is := errors.AsType[*httpapi.RequiredParamError](err); is {
		err = refuseQuery(missing.ParamName, "Field required", "missing")
	} else if invalid, is := errors.AsType[*httpapi.InvalidParamFormatError](err); is {
		err = refuseQuery(invalid.ParamName, "Input should be a valid integer", "int_parsing")
	}
	s.answer(w, r, nil, err)
}

// answer sends a value as JSON, or bytes that are JSON already, or nothing for nil;
// or why there is none.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, value any, err error) {
	status := http.StatusOK
	if refused, is := errors.AsType[*refusal](err); is {
		status, value = refused.status, refused.body
	} else if err != nil {
		s.options.Log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		status, value = http.StatusInternalServerError, map[string]any{"status": 500, "message": "Internal server error"}
	} else if value == nil {
		status = http.StatusNoContent
	}
	body, written := value.([]byte)
	if !written && value != nil {
		if body, err = json.Marshal(value); err != nil {
			panic(err) // made of strings and numbers only
		}
	}
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	if body != nil {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may have gone
}

// adminPath is what the paths begin with that are the emulator's own.
const adminPath = "/_emulator/"

// adminRoutes serves what [Server] does to processes that cannot call it; see
// "meti emulator --help".
func (s *Server) adminRoutes(mux *http.ServeMux) {
	handle := func(pattern string, serve func(r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if !s.fromProgram(r) {
				s.answer(w, r, nil, refuse(http.StatusForbidden, "Only programs that call this server by its own address may use "+adminPath))
				return
			}
			r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
			value, err := serve(r)
			if err != nil {
				err = refuse(http.StatusBadRequest, err.Error())
			}
			s.answer(w, r, value, err)
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
		n, err := strconv.ParseUint(last, 10, 31)
		if err != nil {
			return nil, errors.New("last is how many of the last requests to show, such as last=10")
		}
		return s.LastRequests(int(n)), nil
	})
	type clock struct {
		Now    time.Time `json:"now"`
		Frozen bool      `json:"frozen"`
	}
	handle("GET /_emulator/clock", func(*http.Request) (any, error) {
		now, frozen := s.clock()
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
