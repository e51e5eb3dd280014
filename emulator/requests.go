package emulator

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/internal/scan"
)

// Request is what is remembered of one request: no header, no body, and in
// place of secrets and tokens in its address REDACTED.
type Request struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	Query  string `json:"query"`
	// ClientID is who asked, by the token or the request for one; it is not
	// verified.
	ClientID string `json:"client_id"`
	// Status is 0 where none was sent.
	Status int `json:"status"`
	// Fault is the text of those that it met.
	Fault string    `json:"fault"`
	Time  time.Time `json:"time"`
}

// requestLog counts requests and remembers the last ones.
type requestLog struct {
	mutex  sync.Mutex
	counts map[string]int
	last   []*Request
}

func (l *requestLog) clear() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.counts, l.last = make(map[string]int), nil
}

func (l *requestLog) add(one *Request) {
	const kept = 1000
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.last = append(l.last[max(0, len(l.last)+1-kept):], one)
}

// Requests counts the requests received so far, by the operationId of
// openapi.yaml: Requests()["requestToken"] is how many tokens were asked for.
// Sandbox requests count for the same operations; refused requests and those
// that a fault took count too.
func (s *Server) Requests() map[string]int {
	s.log.mutex.Lock()
	defer s.log.mutex.Unlock()
	return maps.Clone(s.log.counts)
}

// LastRequests gives the last n requests, up to 1,000, the oldest first: those
// to /_emulator/ apart, in the order in which they came.
func (s *Server) LastRequests(n int) []Request {
	s.log.mutex.Lock()
	defer s.log.mutex.Unlock()
	list := []Request{}
	for _, one := range s.log.last[max(0, len(s.log.last)-n):] {
		list = append(list, *one)
	}
	return list
}

var (
	words = regexp.MustCompile(`[^/?&=#;]+`)
	jwts  = regexp.MustCompile(`eyJ[\w-]+\.`)
)

// scrub takes tokens and the accounts' secrets out of an address, and its end
// if it is long.
func (s *Server) scrub(address string) string {
	accounts := s.Accounts()
	address = words.ReplaceAllStringFunc(address, func(word string) string {
		plain, err := url.QueryUnescape(word)
		secret := func(a Account) bool { return a.ClientSecret == word || err == nil && a.ClientSecret == plain }
		if jwts.MatchString(word) || slices.ContainsFunc(accounts, secret) {
			return "REDACTED"
		}
		return word
	})
	return address[:min(len(address), 1024)]
}

// patience is how long a request's body may take to arrive, and a client to
// take what is sent.
const patience = 2 * time.Minute

// recorder notes what is answered, in time for whoever has read the answer. A
// server of the caller's may know no deadlines, which is its own business.
type recorder struct {
	http.ResponseWriter
	log        *requestLog
	request    *Request
	controller *http.ResponseController
	bytes      int64
}

// extend gives the client time to take what is sent.
func (r *recorder) extend() { _ = r.controller.SetWriteDeadline(time.Now().Add(patience)) }

func (r *recorder) WriteHeader(status int) {
	r.extend()
	r.log.mutex.Lock()
	r.request.Status = status
	r.log.mutex.Unlock()
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.request.Status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	r.extend()
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController flush.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// exchange is what is known of a request on its way to an operation.
type exchange struct {
	body []byte
	// clientID is who it says it comes from, altIDs what it is about.
	clientID string
	altIDs   []string
	met      met
	who      caller // guard puts it there
}

type exchangeKey struct{}

func exchangeOf(r *http.Request) *exchange { return r.Context().Value(exchangeKey{}).(*exchange) }

// bodiesAtOnce is how many of the largest bodies may be in memory at a time.
const bodiesAtOnce = 4

// operation reads a request, counts it, and lets it meet with its faults.
func (s *Server) operation(o gen.Operation, st *store, work http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		most := s.options.MaxBody
		if o.ID == gen.OperationRequestToken.ID {
			most = min(most, 64<<10)
		}
		size := most
		if r.ContentLength >= 0 {
			size = min(most, r.ContentLength)
		}
		if s.bodies.Acquire(s.ctx, size) != nil {
			panic(http.ErrAbortHandler)
		}
		defer s.bodies.Release(size)
		controller := http.NewResponseController(w)
		_ = controller.SetReadDeadline(time.Now().Add(patience))
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
		_ = controller.SetReadDeadline(time.Time{}) // the work may take longer

		x := &exchange{body: body, clientID: clientOf(r.Header.Get("Authorization"))}
		if o.ID == gen.OperationRequestToken.ID {
			q, _ := readTokenRequest(r, body)
			x.clientID = q["client_id"]
		}
		if s.faults.byAltID() {
			x.altIDs = altIDsOf(r, st, body)
		}
		var names string
		x.met, names = s.faults.choose(s.options.Seed, o.ID, x)
		s.log.mutex.Lock()
		s.log.counts[o.ID]++
		request := w.(*recorder).request
		request.ClientID, request.Fault = x.clientID, names
		s.log.mutex.Unlock()
		r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
		switch tooLarge := new(http.MaxBytesError); {
		case err == nil:
			s.withFaults(w, r, o, work)
		case o.ID == gen.OperationRequestToken.ID:
			writeTokenError(w, http.StatusBadRequest, "invalid_request", "The body cannot be read")
		case errors.As(err, &tooLarge):
			writeDetail(w, http.StatusRequestEntityTooLarge, "Request body too large")
		default:
			writeDetail(w, http.StatusBadRequest, "The body cannot be read")
		}
	})
}

// altIDsOf gives the ids that a request is about.
func altIDsOf(r *http.Request, st *store, body []byte) []string {
	ids := r.URL.Query()["alt_id"]
	if ssid := r.PathValue("source_id"); ssid != "" {
		var id string
		if st.db.QueryRowContext(forever, "SELECT alt_id FROM source WHERE ssid = ?", ssid).Scan(&id) == nil {
			ids = append(ids, id)
		}
	}
	c, _ := readCreation(body, "")
	for _, feature := range c.features {
		if id := membersOf(feature)["id"]; len(id) > 0 && id[0] == '"' {
			ids = append(ids, scan.Unquote(id))
		}
	}
	return ids
}
