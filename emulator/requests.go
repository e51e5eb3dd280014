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
	"time"

	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/ledger"
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

// bodyTimeout is how long a request's body may take to arrive.
const bodyTimeout = 2 * time.Minute

// recorder notes what is answered, in time for whoever has read the answer.
type recorder struct {
	http.ResponseWriter
	server  *Server
	request *Request
	bytes   int64
}

func (r *recorder) WriteHeader(status int) {
	r.server.mutex.Lock()
	r.request.Status = status
	r.server.mutex.Unlock()
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.request.Status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController flush.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// exchange is what is known of a request on its way to an operation.
type exchange struct {
	body     []byte
	clientID string   // who it says it comes from
	altIDs   []string // what it is about, where a fault asks for that
	met      met
	who      claims // of its token
	refused  string // why that is not good
}

type exchangeKey struct{}

func exchangeOf(r *http.Request) *exchange { return r.Context().Value(exchangeKey{}).(*exchange) }

// bodiesAtOnce is how many of the largest bodies may be in memory at a time.
const bodiesAtOnce = 4

// operation reads a request, counts it, and lets it meet with its faults.
func (s *Server) operation(o gen.Operation, st *store, work http.Handler) http.Handler {
	token := o.ID == gen.OperationRequestToken.ID
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		most := s.options.MaxBody
		if token {
			most = min(most, 64<<10)
		}
		size := most
		if r.ContentLength >= 0 {
			size = min(most, r.ContentLength)
		}
		if size > 0 && s.bodies.Acquire(s.ctx, size) != nil {
			panic(http.ErrAbortHandler)
		}
		controller := http.NewResponseController(w) // a server of the caller's may know no deadlines
		_ = controller.SetReadDeadline(time.Now().Add(bodyTimeout))
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
		_ = controller.SetReadDeadline(time.Time{}) // the work may take longer
		s.bodies.Release(size - int64(len(body)))
		defer s.bodies.Release(int64(len(body)))
		x := &exchange{body: body}
		x.who, x.refused = s.verify(r.Header.Get("Authorization"))
		x.clientID = x.who.ClientID
		if token {
			q, _ := readTokenRequest(r, body)
			x.clientID = q["client_id"]
		}
		if slices.ContainsFunc(s.Faults(), func(f Fault) bool { return f.AltID != "" }) {
			x.altIDs = altIDsOf(r, st, body)
		}
		request := w.(*recorder).request
		s.mutex.Lock()
		s.counts[o.ID]++
		x.met = s.meet(o.ID, x)
		request.ClientID, request.Fault = x.clientID, x.met.names
		s.mutex.Unlock()
		switch tooLarge := new(http.MaxBytesError); {
		case err == nil:
			s.withFaults(w, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x)), o, work)
		case token:
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
	c, _ := readCreation(body)
	features, _ := ledger.ParseCollection(c.collection, ledger.Rules{})
	for _, f := range features {
		ids = append(ids, f.AltID)
	}
	return ids
}
