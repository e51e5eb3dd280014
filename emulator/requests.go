package emulator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/meti-go/meti/gen"
)

// Request is what is remembered of one request: no header, no body, and in
// place of secrets and tokens in its address REDACTED.
type Request struct {
	Method   string    `json:"method"`
	Path     string    `json:"path"`
	Query    string    `json:"query"`
	ClientID string    `json:"client_id"` // by the token, or the request for one; not verified
	Status   int       `json:"status"`    // 0 where none was sent
	Fault    string    `json:"fault"`     // the texts of those that it met
	Time     time.Time `json:"time"`
}

// Requests counts the requests received so far, by the operationId of
// openapi.yaml: Requests()["requestToken"] is how many tokens were asked for.
// Sandbox requests count for the same operations; refused requests and those
// that a fault took count too.
func (s *Server) Requests() map[string]int {
	defer s.lock()()
	return maps.Clone(s.counts)
}

// LastRequests gives the last n requests, up to 1,000, the oldest first: those
// to /_emulator/ apart, in the order in which they came.
func (s *Server) LastRequests(n int) []Request {
	defer s.lock()()
	list := []Request{}
	for _, one := range s.last[max(0, len(s.last)-n):] {
		list = append(list, *one)
	}
	return list
}

var (
	words = regexp.MustCompile(`[^/?&=#;]+`)
	jwts  = regexp.MustCompile(`eyJ[\w-]+\.`)
	named = regexp.MustCompile(`(?i)(secret|token|assertion|password)=[^&;#]*`)
)

// scrub takes tokens, the accounts' secrets and what is called one out of an
// address, and its end if it is long.
func (s *Server) scrub(address string) string {
	secrets := make(map[string]bool)
	for _, a := range s.Accounts() {
		secrets[a.ClientSecret] = true
	}
	address = words.ReplaceAllStringFunc(address, func(word string) string {
		if plain, _ := url.QueryUnescape(word); secrets[word] || secrets[plain] || jwts.MatchString(word) {
			return "REDACTED"
		}
		return word
	})
	address = named.ReplaceAllString(address, "${1}=REDACTED")
	return address[:min(len(address), 1024)]
}

// record counts what is under way, and notes and logs each request.
func (s *Server) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.begin() {
			drop()
		}
		defer s.work.Done()
		request := &Request{Method: r.Method, Path: s.scrub(r.URL.EscapedPath()), Query: s.scrub(r.URL.RawQuery), Time: s.Now()}
		if !strings.HasPrefix(r.URL.Path, adminPath) {
			s.mutex.Lock()
			s.last = append(s.last[max(0, len(s.last)-999):], request)
			s.mutex.Unlock()
		}
		start := time.Now()
		defer func() { // status 0: none was sent
			s.options.Log.Info("request", "method", r.Method, "path", request.Path, "status", request.Status, "took", time.Since(start))
		}()
		next.ServeHTTP(&recorder{w, s, request}, r)
	})
}

// recorder notes what is answered, in time for whoever has read the answer.
type recorder struct {
	http.ResponseWriter
	server  *Server
	request *Request
}

func (r *recorder) WriteHeader(status int) {
	r.server.mutex.Lock()
	r.request.Status = status
	r.server.mutex.Unlock()
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController flush.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// exchange is a request for an operation on its way to it, and its answer.
type exchange struct {
	server    *Server
	operation gen.Operation
	w         http.ResponseWriter
	r         *http.Request
	body      []byte
	who       claims           // of its token
	refused   error            // why it is not carried out
	work      http.HandlerFunc // carries it out

	// What faults look at: who it says it comes from, and what it is about.
	clientID string
	altIDs   []string

	// What faults change: how far a read lags, and whether a transaction is blind
	// and how long it lasts.
	lag, lasting time.Duration
	blind        bool
}

type exchangeKey struct{}

func exchangeOf(r *http.Request) *exchange { return r.Context().Value(exchangeKey{}).(*exchange) }

const (
	bodyTimeout  = 2 * time.Minute // how long a request's body may take to arrive
	bodiesAtOnce = 4               // how many of the largest bodies may be in memory at a time
)

// operation reads a request, counts it, and lets it meet its faults on its way.
func (sv *service) operation(o gen.Operation, operations http.Handler) http.Handler {
	s := sv.server
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &exchange{server: s, operation: o, w: w}
		x.r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
		x.who, x.refused = s.verify(r.Header.Get("Authorization"), o.Scopes)
		defer x.readBody()()
		if x.clientID = x.who.ClientID; o.Scopes == nil { // a request for a token
			q, _ := readTokenRequest(r, x.body)
			x.clientID = q.Get("client_id")
		}
		if slices.ContainsFunc(s.Faults(), func(f Fault) bool { return f.AltID != "" }) {
			x.altIDs = x.about(sv.store)
		}
		x.work = func(w http.ResponseWriter, r *http.Request) {
			if x.refused != nil {
				s.answer(w, r, nil, x.refused)
			} else {
				operations.ServeHTTP(w, r)
			}
		}
		request := w.(*recorder).request
		s.mutex.Lock()
		s.counts[o.ID]++
		met := s.meet(x)
		names := fmt.Sprint(met)
		request.ClientID, request.Fault = x.clientID, names[1:len(names)-1]
		s.mutex.Unlock()
		x.run(met)
	})
}

// readBody reads the body once there is room for it, and gives what makes room
// again.
func (x *exchange) readBody() (release func()) {
	s, most := x.server, x.server.options.MaxBody
	if x.operation.Scopes == nil {
		most = min(most, 64<<10)
	}
	size := most
	if x.r.ContentLength >= 0 {
		size = min(most, x.r.ContentLength)
	}
	if size > 0 && s.bodies.Acquire(s.ctx, size) != nil {
		drop()
	}
	controller := http.NewResponseController(x.w) // a server of the caller's may know no deadlines
	_ = controller.SetReadDeadline(time.Now().Add(bodyTimeout))
	var err error
	x.body, err = io.ReadAll(http.MaxBytesReader(x.w, x.r.Body, most))
	if err == nil { // else net/http, which reads the rest before it answers, would wait for ever
		_ = controller.SetReadDeadline(time.Time{}) // the work may take longer
	}
	switch _, tooLarge := errors.AsType[*http.MaxBytesError](err); {
	case err == nil:
	case x.operation.Scopes == nil:
		x.refused = refuseToken(http.StatusBadRequest, "invalid_request", "The body cannot be read")
	case tooLarge:
		x.refused = refuse(http.StatusRequestEntityTooLarge, "Request body too large")
	default:
		x.refused = refuse(http.StatusBadRequest, "The body cannot be read")
	}
	kept := int64(len(x.body))
	s.bodies.Release(size - kept)
	return func() { s.bodies.Release(kept) }
}

// about gives the alt_ids that a request is about.
func (x *exchange) about(st *store) []string {
	ids, _ := values[string](st, "SELECT alt_id FROM source WHERE ssid = ?", x.r.PathValue("source_id"))
	ids = append(ids, x.r.URL.Query()["alt_id"]...)
	for _, f := range readCreation(x.body).features {
		ids = append(ids, f.AltID)
	}
	return ids
}
