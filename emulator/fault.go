package emulator

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/meti-go/meti/gen"
)

// FaultKind is how a request goes wrong.
type FaultKind string

// The kinds of faults. "The work" is everything that a request asks for, the
// check of its token included.
const (
	// FaultStatus answers [Fault].Status in place of the work; in text it is
	// the number, "503". RetryAfter becomes the header Retry-After. For
	// requestToken the shape is Auth0's, and a 429 has its x-ratelimit headers.
	// With 200 to 299 the work is done, and its success answered under that
	// status: 201, as the older service did [V1].
	FaultStatus FaultKind = "status"
	// FaultHTML answers a page of HTML in place of the work, with Status or 502.
	FaultHTML FaultKind = "html"
	// FaultLatency waits for Delay before the work, which is then done, or
	// meets with a fault further down the list.
	FaultLatency FaultKind = "latency"
	// FaultHang takes the request and never answers it; with Delay it drops the
	// connection after that. The work is not done.
	FaultHang FaultKind = "hang"
	// FaultDrop drops the connection in place of the work.
	FaultDrop FaultKind = "drop"
	// FaultDropAfter does the work, waits for Delay, and drops the connection:
	// committed, and the answer lost.
	FaultDropAfter FaultKind = "drop-after"
	// FaultLateCommit drops the connection at once, or answers Status if there
	// is one (such as 504), and does the work after Delay, 1s unless set. It is
	// not done if the server is closed before.
	FaultLateCommit FaultKind = "late-commit"
	// FaultTruncate does the work, sends half of the answer under the length of
	// the whole, and drops the connection.
	FaultTruncate FaultKind = "truncate"
	// FaultDrip does the work and sends the answer byte by byte, with Delay, 1s
	// unless set, before each.
	FaultDrip FaultKind = "drip"
	// FaultStaleRead lets a list or a look-up lag: it shows no source that was
	// registered less than Delay ago, 1s unless set, as a copy of the database
	// that is behind would. Deletions are seen at once.
	FaultStaleRead FaultKind = "stale-read"
	// FaultBlind registers in a transaction that began as the request arrived
	// and lasts for Delay: it finds no conflict with what others commit
	// meanwhile, nor they with it [D].
	FaultBlind FaultKind = "blind"
	// FaultRound rounds the coordinates of the answer to Digits decimals.
	FaultRound FaultKind = "round"
)

// AnyOperation is the [Fault].Operation that means all of them, requestToken
// too.
const AnyOperation = "*"

// Fault makes requests of an operation go wrong, by probability or by count.
// In text, which flags and the admin path use, it is
//
//	OPERATION:KIND[:PROBABILITY][:xCOUNT][:skip=N][:delay=D][:status=N][:retry-after=D][:digits=N]
//
// such as "createSources:drop-after:0.2", "listSources:429:x3:retry-after=2s",
// "createSources:late-commit:x1:delay=500ms:status=504" or "*:latency:delay=50ms".
//
// The faults are gone through in their order: the first that applies to a
// request takes it, except that latency, stale-read, blind and round only
// change what it is met with: those before it apply too, and delays add up.
type Fault struct {
	// Operation is an operationId of openapi.yaml, or [AnyOperation].
	Operation string
	Kind      FaultKind
	// Probability, above 0 to 1, is how often it applies; always if zero. The
	// choice depends on the server's seed and on how many requests of the
	// operation came before.
	Probability float64
	// Count is how many times it applies at most; any number if zero.
	Count int
	// Skip is how many requests of the operation are left alone at first.
	Skip int
	// Status is for FaultStatus, FaultHTML and FaultLateCommit.
	Status int
	// Delay is for all kinds but FaultStatus, FaultHTML, FaultDrop and
	// FaultTruncate.
	Delay time.Duration
	// RetryAfter is in whole seconds, for FaultStatus.
	RetryAfter time.Duration
	// Digits is how many decimals FaultRound leaves, 1 to 15.
	Digits int
}

// ParseFault reads a fault's text, see [Fault].
func ParseFault(text string) (Fault, error) {
	parts := strings.Split(strings.TrimSpace(text), ":")
	bad := func(format string, args ...any) (Fault, error) {
		return Fault{}, fmt.Errorf("emulator: fault %q: %s", text, fmt.Sprintf(format, args...))
	}
	if len(parts) < 2 {
		return bad("want OPERATION:KIND, such as createSources:drop-after:0.2")
	}
	f := Fault{Operation: parts[0], Kind: FaultKind(parts[1])}
	if status, err := strconv.Atoi(parts[1]); err == nil {
		f.Kind, f.Status = FaultStatus, status
	}
	for _, part := range parts[2:] {
		name, value, named := strings.Cut(part, "=")
		var err error
		switch {
		case !named && strings.HasPrefix(part, "x"):
			f.Count, err = strconv.Atoi(part[1:])
			if err == nil && f.Count < 1 {
				err = errors.New("a count is 1 at least")
			}
		case !named:
			f.Probability, err = strconv.ParseFloat(part, 64)
			if err == nil && !(f.Probability > 0 && f.Probability <= 1) {
				err = errors.New("a probability is above 0 and at most 1")
			}
		case name == "skip":
			f.Skip, err = strconv.Atoi(value)
		case name == "status":
			f.Status, err = strconv.Atoi(value)
		case name == "digits":
			f.Digits, err = strconv.Atoi(value)
		case name == "delay":
			f.Delay, err = time.ParseDuration(value)
		case name == "retry-after":
			f.RetryAfter, err = time.ParseDuration(value)
		default:
			return bad("%q is not known", name)
		}
		if err != nil {
			return bad("%q: %v", part, err)
		}
	}
	if err := f.check(); err != nil {
		return bad("%v", err)
	}
	return f, nil
}

func (f Fault) check() error {
	if f.Operation != AnyOperation && !slices.ContainsFunc(gen.Operations, func(o gen.Operation) bool { return o.ID == f.Operation }) {
		var ids []string
		for _, o := range gen.Operations {
			ids = append(ids, o.ID)
		}
		return fmt.Errorf("the operation is none of %s, %s", AnyOperation, strings.Join(ids, ", "))
	}
	statusMeans, delayMeans := false, true
	switch f.Kind {
	case FaultStatus:
		statusMeans, delayMeans = true, false
		if f.Status == 0 {
			return errors.New("a status is missing")
		}
	case FaultHTML:
		statusMeans, delayMeans = true, false
	case FaultLateCommit:
		statusMeans = true
	case FaultDrop, FaultTruncate:
		delayMeans = false
	case FaultLatency:
		if f.Delay == 0 {
			return errors.New("a delay is missing")
		}
	case FaultHang, FaultDropAfter, FaultDrip, FaultStaleRead, FaultBlind:
	case FaultRound:
		delayMeans = false
	default:
		return errors.New("the kind is none of a status, html, latency, hang, drop, drop-after, late-commit, truncate, drip, stale-read, blind, round")
	}
	switch {
	case f.Kind == FaultRound && (f.Digits < 1 || f.Digits > 15):
		return errors.New("digits are 1 to 15")
	case f.Kind != FaultRound && f.Digits != 0:
		return fmt.Errorf("%s has no digits", f.Kind)
	case f.Status != 0 && !statusMeans:
		return fmt.Errorf("%s has no status", f.Kind)
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return errors.New("a status is 200 to 599")
	case f.Delay != 0 && !delayMeans:
		return fmt.Errorf("%s has no delay; put a latency before it", f.Kind)
	case f.RetryAfter != 0 && f.Kind != FaultStatus:
		return fmt.Errorf("%s has no retry-after", f.Kind)
	case f.Delay < 0 || f.RetryAfter < 0 || f.Skip < 0 || f.Count < 0 || !(f.Probability >= 0 && f.Probability <= 1):
		return errors.New("a number is out of range")
	}
	return nil
}

// String is the fault's text, which [ParseFault] reads.
func (f Fault) String() string {
	parts := []string{f.Operation, string(f.Kind)}
	if f.Kind == FaultStatus {
		parts[1] = strconv.Itoa(f.Status)
	}
	if f.Probability != 0 {
		parts = append(parts, strconv.FormatFloat(f.Probability, 'g', -1, 64))
	}
	if f.Count != 0 {
		parts = append(parts, "x"+strconv.Itoa(f.Count))
	}
	if f.Skip != 0 {
		parts = append(parts, "skip="+strconv.Itoa(f.Skip))
	}
	if f.Delay != 0 {
		parts = append(parts, "delay="+f.Delay.String())
	}
	if f.Status != 0 && f.Kind != FaultStatus {
		parts = append(parts, "status="+strconv.Itoa(f.Status))
	}
	if f.RetryAfter != 0 {
		parts = append(parts, "retry-after="+f.RetryAfter.String())
	}
	if f.Digits != 0 {
		parts = append(parts, "digits="+strconv.Itoa(f.Digits))
	}
	return strings.Join(parts, ":")
}

// MarshalText writes [Fault.String].
func (f Fault) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads what [ParseFault] reads.
func (f *Fault) UnmarshalText(text []byte) (err error) {
	*f, err = ParseFault(string(text))
	return err
}

// faultSet are the faults in force.
type faultSet struct {
	seed   uint64
	mutex  sync.Mutex
	faults []Fault
	done   []int          // how often each has applied
	seen   map[string]int // requests of each operation since the set was set
}

// SetFaults replaces all faults, and starts their counts anew.
func (s *Server) SetFaults(faults []Fault) error {
	for _, f := range faults {
		if err := f.check(); err != nil {
			return fmt.Errorf("emulator: fault %s: %w", f, err)
		}
	}
	s.faults.mutex.Lock()
	defer s.faults.mutex.Unlock()
	s.faults.faults = slices.Clone(faults)
	s.faults.done = make([]int, len(faults))
	s.faults.seen = make(map[string]int)
	return nil
}

// Faults are those that can still apply, their counts and skips as they are
// left.
func (s *Server) Faults() []Fault {
	s.faults.mutex.Lock()
	defer s.faults.mutex.Unlock()
	left := []Fault{}
	for i, f := range s.faults.faults {
		if f.Count > 0 {
			if f.Count -= s.faults.done[i]; f.Count == 0 {
				continue
			}
		}
		f.Skip = max(0, f.Skip-s.faults.seenBy(f))
		left = append(left, f)
	}
	return left
}

// seenBy is how many requests of the fault's operation there were.
func (fs *faultSet) seenBy(f Fault) (n int) {
	if f.Operation != AnyOperation {
		return fs.seen[f.Operation]
	}
	for seen := range maps.Values(fs.seen) {
		n += seen
	}
	return n
}

// met is what a request meets with.
type met struct {
	wait    time.Duration // before the work
	lag     time.Duration // of a read
	blind   bool          // a transaction that sees nothing newer than itself
	lasting time.Duration // of that transaction
	digits  int           // of coordinates in the answer; 0 for all
	fault   Fault         // what takes it, if anything does
	taken   bool
}

type metKey struct{}

// metBy gives what a request met with on its way here.
func metBy(r *http.Request) met {
	m, _ := r.Context().Value(metKey{}).(met)
	return m
}

// choose draws the faults of one request.
func (fs *faultSet) choose(operation string) (m met) {
	fs.mutex.Lock()
	defer fs.mutex.Unlock()
	if len(fs.faults) == 0 {
		return m
	}
	defer func() { fs.seen[operation]++ }()
	for i, f := range fs.faults {
		if f.Operation != AnyOperation && f.Operation != operation ||
			f.Count > 0 && fs.done[i] >= f.Count ||
			fs.seenBy(f) < f.Skip ||
			f.Probability > 0 && fs.draw(i, operation) >= f.Probability {
			continue
		}
		fs.done[i]++
		switch f.Kind {
		case FaultLatency:
			m.wait += f.Delay
		case FaultStaleRead:
			m.lag += orSecond(f.Delay)
		case FaultBlind:
			m.blind = true
			m.lasting += f.Delay
		case FaultRound:
			m.digits = f.Digits
		default:
			m.fault, m.taken = f, true
			return m
		}
	}
	return m
}

// draw gives a number in [0, 1) that depends on the seed, the fault's place and
// the request's number, and on nothing else: not on how requests of other
// operations come between.
func (fs *faultSet) draw(place int, operation string) float64 {
	text := binary.LittleEndian.AppendUint64(nil, fs.seed)
	text = binary.LittleEndian.AppendUint64(text, uint64(place))
	text = binary.LittleEndian.AppendUint64(text, uint64(fs.seen[operation]))
	sum := sha256.Sum256(append(text, operation...))
	return float64(binary.LittleEndian.Uint64(sum[:])>>11) / math.Exp2(53)
}

// withFaults lays the faults of one request around its work.
func (s *Server) withFaults(o gen.Operation, work http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		met := s.faults.choose(o.ID)
		if !s.sleep(r.Context(), met.wait) {
			panic(http.ErrAbortHandler)
		}
		work, fault := work, met.fault
		if met.digits > 0 {
			work = rounding(work, met.digits)
		}
		if met.lag > 0 || met.blind {
			r = r.WithContext(context.WithValue(r.Context(), metKey{}, met))
		}
		if !met.taken {
			work.ServeHTTP(w, r)
			return
		}
		switch fault.Kind {
		case FaultStatus:
			if fault.Status < 300 {
				work.ServeHTTP(&succeeder{ResponseWriter: w, status: fault.Status}, r)
				return
			}
			s.answerStatus(w, o, fault)
		case FaultHTML:
			answerHTML(w, fault)
		case FaultHang:
			// Whether the client has gone is seen only when its body was read.
			_, _ = io.Copy(io.Discard, r.Body)
			delay := fault.Delay
			if delay == 0 {
				delay = math.MaxInt64
			}
			s.sleep(r.Context(), delay)
			panic(http.ErrAbortHandler)
		case FaultDrop:
			panic(http.ErrAbortHandler)
		case FaultDropAfter:
			work.ServeHTTP(newNowhere(), r)
			s.sleep(r.Context(), fault.Delay)
			panic(http.ErrAbortHandler)
		case FaultLateCommit:
			s.commitLate(w, r, o, fault, work)
		case FaultTruncate:
			truncate(w, r, work)
		case FaultDrip:
			work.ServeHTTP(&dripper{w, func() bool { return s.sleep(r.Context(), orSecond(fault.Delay)) }}, r)
		}
	})
}

// sleep waits, and reports whether it was for the whole time: not when the
// client goes or the server is closed.
func (s *Server) sleep(ctx context.Context, d time.Duration) bool {
	if d == 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-s.ctx.Done():
	}
	return false
}

func orSecond(d time.Duration) time.Duration {
	if d == 0 {
		return time.Second
	}
	return d
}

// answerStatus answers an error as the real service would.
func (s *Server) answerStatus(w http.ResponseWriter, o gen.Operation, f Fault) {
	wait := int(math.Ceil(f.RetryAfter.Seconds()))
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(wait))
	}
	text := http.StatusText(f.Status)
	switch {
	case o.ID == gen.OperationRequestToken.ID && f.Status < 500:
		code := map[int]string{400: "invalid_request", 429: "too_many_requests"}[f.Status]
		if code == "" {
			code = "access_denied"
		}
		if f.Status == http.StatusTooManyRequests {
			rateLimit(w.Header(), 10, s.options.Now().Add(f.RetryAfter))
		}
		writeTokenError(w, f.Status, code, text)
	case f.Status < 300:
		w.WriteHeader(f.Status)
	case f.Status == http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
		writeDetail(w, f.Status, text)
	case f.Status == http.StatusUnprocessableEntity:
		writeFields(w, fieldError{[]any{"body"}, text, "value_error"})
	case f.Status >= 500:
		writeMessage(w, f.Status, text)
	default:
		writeDetail(w, f.Status, text)
	}
}

func answerHTML(w http.ResponseWriter, f Fault) {
	status := f.Status
	if status == 0 {
		status = http.StatusBadGateway
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<!doctype html>\n<html><head><title>%d %s</title></head><body><h1>%[2]s</h1></body></html>\n", status, http.StatusText(status))
}

// commitLate ends the exchange now and does the work later.
func (s *Server) commitLate(w http.ResponseWriter, r *http.Request, o gen.Operation, f Fault, work http.Handler) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.options.MaxBody))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	late := r.Clone(context.WithoutCancel(r.Context()))
	late.Body = io.NopCloser(bytes.NewReader(body))
	if !s.work.begin() {
		panic(http.ErrAbortHandler)
	}
	go func() {
		defer s.work.end()
		defer func() { _ = recover() }() // as net/http does; there is nobody to tell
		if s.sleep(context.Background(), orSecond(f.Delay)) {
			work.ServeHTTP(newNowhere(), late)
		}
	}()
	if f.Status == 0 {
		panic(http.ErrAbortHandler)
	}
	s.answerStatus(w, o, f)
}

// truncate sends half of the answer.
func truncate(w http.ResponseWriter, r *http.Request, work http.Handler) {
	kept := newNowhere()
	kept.body = new(bytes.Buffer)
	work.ServeHTTP(kept, r)
	maps.Copy(w.Header(), kept.header)
	w.Header().Set("Content-Length", strconv.Itoa(max(2, kept.body.Len())))
	w.WriteHeader(kept.status)
	_, _ = w.Write(kept.body.Bytes()[:kept.body.Len()/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

var (
	coordinates = regexp.MustCompile(`"coordinates":[][,.eE0-9+-]*`) // an answer's geometry has no white space
	decimals    = regexp.MustCompile(`-?[0-9]+\.[0-9]+([eE][+-]?[0-9]+)?`)
)

// rounding rounds the coordinates of an answer.
func rounding(work http.Handler, digits int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kept := newNowhere()
		kept.body = new(bytes.Buffer)
		work.ServeHTTP(kept, r)
		maps.Copy(w.Header(), kept.header)
		w.Header().Del("Content-Length")
		w.WriteHeader(kept.status)
		_, _ = w.Write(coordinates.ReplaceAllFunc(kept.body.Bytes(), func(all []byte) []byte {
			return decimals.ReplaceAllFunc(all, func(number []byte) []byte {
				value, err := strconv.ParseFloat(string(number), 64)
				if err != nil {
					return number
				}
				scale := math.Pow10(digits)
				return strconv.AppendFloat(nil, math.Round(value*scale)/scale, 'f', -1, 64)
			})
		}))
	})
}

// nowhere is where an answer goes that nobody is to get. It is kept if there is
// a body to keep it in.
type nowhere struct {
	header http.Header
	status int
	body   *bytes.Buffer
}

func newNowhere() *nowhere { return &nowhere{header: make(http.Header), status: http.StatusOK} }

func (n *nowhere) Header() http.Header    { return n.header }
func (n *nowhere) WriteHeader(status int) { n.status = status }

func (n *nowhere) Write(p []byte) (int, error) {
	if n.body != nil {
		n.body.Write(p)
	}
	return len(p), nil
}

// succeeder answers success under another status.
type succeeder struct {
	http.ResponseWriter
	status int
	sent   bool
}

func (s *succeeder) WriteHeader(status int) {
	if status >= 200 && status < 300 {
		status = s.status
	}
	s.sent = true
	s.ResponseWriter.WriteHeader(status)
}

func (s *succeeder) Write(p []byte) (int, error) {
	if !s.sent {
		s.WriteHeader(http.StatusOK)
	}
	return s.ResponseWriter.Write(p)
}

// dripper sends byte by byte.
type dripper struct {
	http.ResponseWriter
	wait func() bool
}

func (d *dripper) Write(p []byte) (int, error) {
	for i := range p {
		if !d.wait() {
			panic(http.ErrAbortHandler)
		}
		if _, err := d.ResponseWriter.Write(p[i : i+1]); err != nil {
			return i, err
		}
		if err := http.NewResponseController(d.ResponseWriter).Flush(); err != nil {
			return i, err
		}
	}
	return len(p), nil
}
