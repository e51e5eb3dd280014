package emulator

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
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
//	OPERATION:KIND[:PROBABILITY][:xCOUNT][:skip=N][:client=ID][:alt_id=ID]
//	              [:delay=D][:status=N][:retry-after=D][:digits=N]
//
// on one line, with %3A for a colon in an ID and %25 for a percent sign, such as "createSources:drop-after:0.2", "listSources:429:x3:retry-after=2s",
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
	// choice depends on the server's seed and on how many requests that the fault
	// is about came before.
	Probability float64
	// Count is how many times it applies at most; any number if zero.
	Count int
	// Skip is how many requests that it is about are left alone at first.
	Skip int
	// ClientID narrows it to the requests of one client, by their token or their
	// request for one.
	ClientID string
	// AltID narrows it to requests about one: a POST that has it, a list or
	// deletion by it, a look-up or deletion of a source that has it.
	AltID string
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

// settings are the parts of a fault's text that have a name: in their order,
// what they are read to.
func (f *Fault) settings() []setting {
	return []setting{
		{"skip", &f.Skip}, {"client", &f.ClientID}, {"alt_id", &f.AltID},
		{"delay", &f.Delay}, {"status", &f.Status}, {"retry-after", &f.RetryAfter}, {"digits", &f.Digits},
	}
}

type setting struct {
	name string
	to   any // *int, *string or *time.Duration
}

func (s setting) read(text string) (err error) {
	switch to := s.to.(type) {
	case *int:
		*to, err = strconv.Atoi(text)
	case *time.Duration:
		*to, err = time.ParseDuration(text)
	case *string:
		*to, err = url.PathUnescape(text)
	}
	return err
}

// String is empty where nothing was set.
func (s setting) String() string {
	switch to := s.to.(type) {
	case *int:
		if *to != 0 {
			return strconv.Itoa(*to)
		}
	case *time.Duration:
		if *to != 0 {
			return to.String()
		}
	case *string:
		return strings.NewReplacer("%", "%25", ":", "%3A").Replace(*to)
	}
	return ""
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
	settings := f.settings()
	for _, part := range parts[2:] {
		name, value, named := strings.Cut(part, "=")
		var err error
		switch i := slices.IndexFunc(settings, func(s setting) bool { return s.name == name }); {
		case named && i < 0:
			return bad("%q is not known", name)
		case named:
			err = settings[i].read(value)
		case strings.HasPrefix(part, "x"):
			f.Count, err = strconv.Atoi(part[1:])
			if err == nil && f.Count < 1 {
				err = errors.New("a count is 1 at least")
			}
		default:
			f.Probability, err = strconv.ParseFloat(part, 64)
			if err == nil && !(f.Probability > 0 && f.Probability <= 1) {
				err = errors.New("a probability is above 0 and at most 1")
			}
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

// kinds are all kinds, with what they may have beside what all may.
var kinds = []struct {
	kind                  FaultKind
	status, delay, digits bool
}{
	{kind: FaultStatus, status: true},
	{kind: FaultHTML, status: true},
	{kind: FaultLatency, delay: true},
	{kind: FaultHang, delay: true},
	{kind: FaultDrop},
	{kind: FaultDropAfter, delay: true},
	{kind: FaultLateCommit, status: true, delay: true},
	{kind: FaultTruncate},
	{kind: FaultDrip, delay: true},
	{kind: FaultStaleRead, delay: true},
	{kind: FaultBlind, delay: true},
	{kind: FaultRound, digits: true},
}

func (f Fault) check() error {
	operations := []string{AnyOperation}
	for _, o := range gen.Operations() {
		operations = append(operations, o.ID)
	}
	if !slices.Contains(operations, f.Operation) {
		return fmt.Errorf("the operation is none of %s", strings.Join(operations, ", "))
	}
	var names []string
	k := kinds[0]
	for _, k = range kinds {
		if k.kind == f.Kind {
			break
		}
		names = append(names, string(k.kind))
	}
	switch {
	case k.kind != f.Kind:
		return fmt.Errorf("the kind is none of %s", strings.Join(names, ", "))
	case f.Kind == FaultStatus && f.Status == 0:
		return errors.New("a status is missing")
	case f.Kind == FaultLatency && f.Delay == 0:
		return errors.New("a delay is missing")
	case k.digits && (f.Digits < 1 || f.Digits > 15):
		return errors.New("digits are 1 to 15")
	case f.Digits != 0 && !k.digits:
		return fmt.Errorf("%s has no digits", f.Kind)
	case f.Status != 0 && !k.status:
		return fmt.Errorf("%s has no status", f.Kind)
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return errors.New("a status is 200 to 599")
	case f.Delay != 0 && !k.delay:
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
	text := f.Operation + ":" + string(f.Kind)
	if f.Kind == FaultStatus {
		text = f.Operation + ":" + strconv.Itoa(f.Status)
		f.Status = 0
	}
	if f.Probability != 0 {
		text += ":" + strconv.FormatFloat(f.Probability, 'g', -1, 64)
	}
	if f.Count != 0 {
		text += ":x" + strconv.Itoa(f.Count)
	}
	for _, s := range f.settings() {
		if value := s.String(); value != "" {
			text += ":" + s.name + "=" + value
		}
	}
	return text
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
	mutex  sync.Mutex
	faults []activeFault
}

type activeFault struct {
	Fault
	done int            // how often it has applied
	seen map[string]int // requests that it was about, by operation
}

// about reports whether the fault is about a request.
func (f Fault) about(operation string, x *exchange) bool {
	return (f.Operation == AnyOperation || f.Operation == operation) &&
		(f.ClientID == "" || f.ClientID == x.clientID) &&
		(f.AltID == "" || slices.Contains(x.altIDs, f.AltID))
}

// total is how many requests it was about.
func (f activeFault) total() (n int) {
	for _, seen := range f.seen {
		n += seen
	}
	return n
}

// SetFaults replaces all faults, and starts their counts anew.
func (s *Server) SetFaults(faults []Fault) error {
	var active []activeFault
	for _, f := range faults {
		if err := f.check(); err != nil {
			return fmt.Errorf("emulator: fault %s: %w", f, err)
		}
		active = append(active, activeFault{Fault: f, seen: make(map[string]int)})
	}
	s.faults.mutex.Lock()
	defer s.faults.mutex.Unlock()
	s.faults.faults = active
	return nil
}

// Faults are those that can still apply, their counts and skips as they are
// left.
func (s *Server) Faults() []Fault {
	s.faults.mutex.Lock()
	defer s.faults.mutex.Unlock()
	left := []Fault{}
	for _, f := range s.faults.faults {
		if f.Count > 0 {
			if f.Count -= f.done; f.Count == 0 {
				continue
			}
		}
		f.Skip = max(0, f.Skip-f.total())
		left = append(left, f.Fault)
	}
	return left
}

// byAltID reports whether a fault looks at alt_ids.
func (fs *faultSet) byAltID() bool {
	fs.mutex.Lock()
	defer fs.mutex.Unlock()
	return slices.ContainsFunc(fs.faults, func(f activeFault) bool { return f.AltID != "" })
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

// choose draws the faults of one request, and names them.
func (fs *faultSet) choose(seed uint64, operation string, x *exchange) (m met, names string) {
	fs.mutex.Lock()
	defer fs.mutex.Unlock()
	for i := range fs.faults {
		f := &fs.faults[i]
		if !f.about(operation, x) {
			continue
		}
		number, total := f.seen[operation], f.total()
		f.seen[operation]++
		if m.taken || f.Count > 0 && f.done >= f.Count || total < f.Skip ||
			f.Probability > 0 && draw(seed, i, operation, number) >= f.Probability {
			continue
		}
		f.done++
		names = strings.TrimSpace(names + " " + f.String())
		switch f.Kind {
		case FaultLatency:
			m.wait += f.Delay
		case FaultStaleRead:
			m.lag += cmp.Or(f.Delay, time.Second)
		case FaultBlind:
			m.blind = true
			m.lasting += f.Delay
		case FaultRound:
			m.digits = f.Digits
		default:
			m.fault, m.taken = f.Fault, true
		}
	}
	return m, names
}

// draw gives a number in [0, 1) that depends on the seed, the fault's place and
// the request's number, and on nothing else: not on how requests of other
// operations come between.
func draw(seed uint64, place int, operation string, number int) float64 {
	sum := derive(seed, fmt.Sprint("fault ", place, operation, number))
	return float64(binary.LittleEndian.Uint64(sum)>>11) / math.Exp2(53)
}

// withFaults lays the faults that a request met around its work.
func (s *Server) withFaults(w http.ResponseWriter, r *http.Request, o gen.Operation, work http.Handler) {
	met := exchangeOf(r).met
	fault := met.fault
	pass := s.sleep(r.Context(), met.wait)
	switch {
	case !pass || fault.Kind == FaultDrop:
		panic(http.ErrAbortHandler)
	case fault.Kind == FaultHang:
		s.sleep(r.Context(), cmp.Or(fault.Delay, math.MaxInt64))
		panic(http.ErrAbortHandler)
	case fault.Kind == FaultHTML:
		status := cmp.Or(fault.Status, http.StatusBadGateway)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		fmt.Fprintf(w, "<!doctype html>\n<html><head><title>%d %s</title></head><body><h1>%[2]s</h1></body></html>\n", status, http.StatusText(status))
		return
	case fault.Kind == FaultStatus && fault.Status >= 300:
		s.answerStatus(w, o, fault)
		return
	case fault.Kind == FaultLateCommit:
		s.commitLate(w, r, o, fault, work)
		return
	case fault.Kind == "" && met.digits == 0:
		work.ServeHTTP(w, r)
		return
	}
	answer := keep(work, r)
	if met.digits > 0 {
		answer.round(met.digits)
	}
	body := answer.body.Bytes()
	maps.Copy(w.Header(), answer.header)
	if len(body) > 0 {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	switch fault.Kind {
	case FaultDropAfter:
		s.sleep(r.Context(), fault.Delay)
		panic(http.ErrAbortHandler)
	case FaultTruncate:
		w.Header().Set("Content-Length", strconv.Itoa(max(2, len(body))))
		w.WriteHeader(answer.status)
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case FaultDrip:
		w.WriteHeader(answer.status)
		for i := range body {
			if !s.sleep(r.Context(), cmp.Or(fault.Delay, time.Second)) {
				panic(http.ErrAbortHandler)
			}
			_, _ = w.Write(body[i : i+1])
			_ = http.NewResponseController(w).Flush()
		}
	default: // a success under another status, or rounded
		if fault.Status != 0 && answer.status < 300 {
			answer.status = fault.Status
		}
		w.WriteHeader(answer.status)
		_, _ = w.Write(body)
	}
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
			rateLimit(w.Header(), 10, s.Now().Add(f.RetryAfter))
		}
		writeTokenError(w, f.Status, code, text)
	case f.Status < 300: // of a late commit
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

// commitLate ends the exchange now and does the work later.
func (s *Server) commitLate(w http.ResponseWriter, r *http.Request, o gen.Operation, f Fault, work http.Handler) {
	if !s.begin() {
		panic(http.ErrAbortHandler)
	}
	go func() {
		defer s.work.Done()
		defer func() { _ = recover() }() // as net/http does; there is nobody to tell
		if s.sleep(context.Background(), cmp.Or(f.Delay, time.Second)) {
			keep(work, r.WithContext(context.WithoutCancel(r.Context())))
		}
	}()
	if f.Status == 0 {
		panic(http.ErrAbortHandler)
	}
	s.answerStatus(w, o, f)
}

// kept is an answer that is not sent yet.
type kept struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (k *kept) Header() http.Header         { return k.header }
func (k *kept) WriteHeader(status int)      { k.status = status }
func (k *kept) Write(p []byte) (int, error) { return k.body.Write(p) }

// keep does the work.
func keep(work http.Handler, r *http.Request) *kept {
	k := &kept{header: make(http.Header), status: http.StatusOK}
	work.ServeHTTP(k, r)
	return k
}

var (
	coordinates = regexp.MustCompile(`"coordinates":[][,.eE0-9+-]*`) // an answer's geometry has no white space
	decimals    = regexp.MustCompile(`-?[0-9]+\.[0-9]+([eE][+-]?[0-9]+)?`)
)

// round rounds the coordinates of an answer.
func (k *kept) round(digits int) {
	scale := math.Pow10(digits)
	k.body = *bytes.NewBuffer(coordinates.ReplaceAllFunc(k.body.Bytes(), func(all []byte) []byte {
		return decimals.ReplaceAllFunc(all, func(number []byte) []byte {
			value, err := strconv.ParseFloat(string(number), 64)
			if err != nil {
				return number
			}
			return strconv.AppendFloat(nil, math.Round(value*scale)/scale, 'f', -1, 64)
		})
	}))
}
