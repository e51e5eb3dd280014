package emulator

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meti-go/meti/gen"
)

// FaultKind is how a request goes wrong. "The work" is everything that it asks
// for, the check of its token included; its body has arrived before.
type FaultKind string

const (
	FaultStatus     FaultKind = "status"      // answers Status in place of the work, in METI's or Auth0's shape; 200 to 299 is for a success
	FaultHTML       FaultKind = "html"        // answers a page of HTML in place of the work, with Status or 502
	FaultLatency    FaultKind = "latency"     // waits for Delay before the work
	FaultHang       FaultKind = "hang"        // never answers, or drops the connection after Delay; the work is not done
	FaultDrop       FaultKind = "drop"        // drops the connection in place of the work
	FaultDropAfter  FaultKind = "drop-after"  // does the work, waits for Delay, and drops the connection: committed, and the answer lost
	FaultLateCommit FaultKind = "late-commit" // drops the connection or answers Status, and does the work after Delay, unless closed before
	FaultTruncate   FaultKind = "truncate"    // does the work, sends half of the answer, and drops the connection
	FaultDrip       FaultKind = "drip"        // does the work, and sends the answer byte by byte, with Delay before each
	FaultStaleRead  FaultKind = "stale-read"  // shows no source that was registered less than Delay ago, as a copy that is behind
	FaultBlind      FaultKind = "blind"       // registers in a transaction that lasts for Delay: what others commit meanwhile is not seen [D]
	FaultRound      FaultKind = "round"       // rounds the coordinates of the answer to Digits decimals
)

// kinds are all kinds, with the settings that each may have beside what all may.
var kinds = []struct {
	kind FaultKind
	may  string
}{
	{FaultStatus, "status retry-after"}, {FaultHTML, "status"}, {FaultLatency, "delay"}, {FaultHang, "delay"},
	{FaultDrop, ""}, {FaultDropAfter, "delay"}, {FaultLateCommit, "status delay"}, {FaultTruncate, ""},
	{FaultDrip, "delay"}, {FaultStaleRead, "delay"}, {FaultBlind, "delay"}, {FaultRound, "digits"},
}

// AnyOperation means all of them in a [Fault], requestToken too.
const AnyOperation = "*"

// Fault makes requests of an operation go wrong, by probability or by count.
// In text, which flags and the admin path use, it is
//
//	OPERATION:KIND[:PROBABILITY][:xCOUNT][:skip=N][:client=ID][:alt_id=ID]
//	              [:delay=D][:status=N][:retry-after=D][:digits=N]
//
// in one line, with the number for the kind status: "createSources:drop-after:0.2",
// "listSources:429:x3:retry-after=2s:client=demo-client", "*:latency:delay=50ms".
// In an ID, %3A is a colon and %25 a percent sign.
//
// The faults are gone through in their order: the first that applies to a
// request takes it, except that latency, stale-read, blind and round only
// change what it is met with: those before it apply too, and delays add up.
type Fault struct {
	Operation   string // an operationId of openapi.yaml, or AnyOperation
	Kind        FaultKind
	Probability float64       // how often it applies, above 0 to 1, by the seed and the requests before; always if 0
	Count       int           // how many times it applies at most; any number if 0
	Skip        int           // how many requests are left alone at first
	ClientID    string        // only requests of this client, by their token or their request for one
	AltID       string        // only requests about it: a POST that has it, a filter, a path to a source that has it
	Delay       time.Duration // real time, whatever the server's clock says; where it is needed 1s if 0
	Status      int
	RetryAfter  time.Duration // the header Retry-After, in whole seconds, of FaultStatus
	Digits      int           // 1 to 15
}

// settings are the parts of a fault's text that have a name.
func (f *Fault) settings() *flag.FlagSet {
	s := flag.NewFlagSet("", flag.ContinueOnError)
	s.IntVar(&f.Skip, "skip", f.Skip, "")
	s.StringVar(&f.ClientID, "client", f.ClientID, "")
	s.StringVar(&f.AltID, "alt_id", f.AltID, "")
	s.DurationVar(&f.Delay, "delay", f.Delay, "")
	s.IntVar(&f.Status, "status", f.Status, "")
	s.DurationVar(&f.RetryAfter, "retry-after", f.RetryAfter, "")
	s.IntVar(&f.Digits, "digits", f.Digits, "")
	return s
}

// set calls visit for the settings that are not zero.
func (f Fault) set(visit func(name, value string)) {
	zero := new(Fault).settings()
	f.settings().VisitAll(func(s *flag.Flag) {
		if s.DefValue != zero.Lookup(s.Name).DefValue {
			visit(s.Name, s.DefValue)
		}
	})
}

// ParseFault reads a fault's text, see [Fault].
func ParseFault(text string) (f Fault, err error) {
	operation, rest, _ := strings.Cut(strings.TrimSpace(text), ":")
	parts := strings.Split(rest, ":")
	f = Fault{Operation: operation, Kind: FaultKind(parts[0])}
	if status, err := strconv.Atoi(parts[0]); err == nil {
		f.Kind, f.Status = FaultStatus, status
	}
	settings := f.settings()
	for _, part := range parts[1:] {
		switch name, value, named := strings.Cut(part, "="); {
		case named:
			if value, err = url.PathUnescape(value); err == nil {
				err = settings.Set(name, value)
			}
		case strings.HasPrefix(part, "x"):
			if f.Count, err = strconv.Atoi(part[1:]); err == nil && f.Count < 1 {
				err = errors.New("a count is 1 at least")
			}
		default:
			if f.Probability, err = strconv.ParseFloat(part, 64); err == nil && !(f.Probability > 0 && f.Probability <= 1) {
				err = errors.New("a probability is above 0 and at most 1")
			}
		}
		if err != nil {
			return Fault{}, fmt.Errorf("emulator: fault %q: %q: %w", text, part, err)
		}
	}
	if err := f.check(); err != nil {
		return Fault{}, fmt.Errorf("emulator: fault %q: %w", text, err)
	}
	return f, nil
}

func (f Fault) check() (err error) {
	operations := []string{AnyOperation}
	for _, o := range gen.Operations() {
		operations = append(operations, o.ID)
	}
	var may, names []string
	for _, k := range kinds {
		if names = append(names, string(k.kind)); k.kind == f.Kind {
			may = append(strings.Fields(k.may), "skip", "client", "alt_id")
		}
	}
	switch {
	case !slices.Contains(operations, f.Operation):
		return fmt.Errorf("the operation is none of %s; want OPERATION:KIND, such as createSources:drop-after:0.2", strings.Join(operations, ", "))
	case may == nil:
		return fmt.Errorf("the kind is none of a number, %s", strings.Join(names, ", "))
	case f.Kind == FaultStatus && f.Status == 0:
		return errors.New("a status is missing")
	case f.Kind == FaultLatency && f.Delay == 0:
		return errors.New("a delay is missing")
	case f.Kind == FaultRound && (f.Digits < 1 || f.Digits > 15):
		return errors.New("digits are 1 to 15")
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return errors.New("a status is 200 to 599")
	case f.Delay < 0 || f.RetryAfter < 0 || f.Skip < 0 || f.Count < 0 || !(f.Probability >= 0 && f.Probability <= 1):
		return errors.New("a number is out of range")
	}
	f.set(func(name, _ string) {
		if !slices.Contains(may, name) {
			err = fmt.Errorf("%s has no %s", f.Kind, name)
		}
	})
	return err
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
	f.set(func(name, value string) {
		text += ":" + name + "=" + strings.NewReplacer("%", "%25", ":", "%3A").Replace(value)
	})
	return text
}

// MarshalText writes [Fault.String].
func (f Fault) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads what [ParseFault] reads.
func (f *Fault) UnmarshalText(text []byte) (err error) {
	*f, err = ParseFault(string(text))
	return err
}

// activeFault is one in force.
type activeFault struct {
	Fault
	done int            // how often it has applied
	seen map[string]int // requests that it was about, by operation; all of them under AnyOperation
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
	defer s.lock()()
	s.faults = active
	return nil
}

// Faults are those that can still apply, their counts and skips as they are
// left.
func (s *Server) Faults() []Fault {
	defer s.lock()()
	left := []Fault{}
	for _, f := range s.faults {
		if f.Count == 0 || f.Count > f.done {
			f.Count -= min(f.Count, f.done)
			f.Skip = max(0, f.Skip-f.seen[AnyOperation])
			left = append(left, f.Fault)
		}
	}
	return left
}

// met is what a request meets with.
type met struct {
	wait, lag, lasting time.Duration // before the work, of a read, and of a blind transaction
	blind              bool
	digits             int    // of coordinates in the answer; 0 for all
	fault              Fault  // what takes it; of no kind if nothing does
	names              string // the texts of all of them
}

// meet draws the faults of one request. The caller has the mutex.
func (s *Server) meet(operation string, x *exchange) (m met) {
	for i := range s.faults {
		f := &s.faults[i]
		if f.Operation != AnyOperation && f.Operation != operation ||
			f.ClientID != "" && f.ClientID != x.clientID || f.AltID != "" && !slices.Contains(x.altIDs, f.AltID) {
			continue
		}
		number, total := f.seen[operation], f.seen[AnyOperation]
		f.seen[operation]++
		f.seen[AnyOperation]++
		if m.fault.Kind != "" || f.Count > 0 && f.done >= f.Count || total < f.Skip ||
			f.Probability > 0 && s.chance(i, operation, number) >= f.Probability {
			continue
		}
		f.done++
		m.names = strings.TrimSpace(m.names + " " + f.String())
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
			m.fault = f.Fault
		}
	}
	return m
}

// chance is a number in [0, 1) that depends on the seed, the fault's place and
// the request's number, and on nothing else: not on how requests of other
// operations come between.
func (s *Server) chance(place int, operation string, number int) float64 {
	sum := derive(s.options.Seed, fmt.Sprint("fault ", place, operation, number))
	return float64(binary.LittleEndian.Uint64(sum)>>11) / math.Exp2(53)
}

// withFaults lays the faults that a request met around its work.
func (s *Server) withFaults(w http.ResponseWriter, r *http.Request, o gen.Operation, work http.Handler) {
	met := exchangeOf(r).met
	fault := met.fault
	whole := s.sleep(r.Context(), met.wait)
	switch {
	case !whole || fault.Kind == FaultDrop:
		panic(http.ErrAbortHandler)
	case fault.Kind == FaultHang:
		s.sleep(r.Context(), cmp.Or(fault.Delay, math.MaxInt64))
		panic(http.ErrAbortHandler)
	case fault.Kind == FaultHTML, fault.Kind == FaultStatus && fault.Status >= 300:
		s.answerStatus(w, o, fault)
	case fault.Kind == FaultLateCommit:
		s.commitLate(w, r, o, fault, work)
	case fault.Kind == "" && met.digits == 0:
		work.ServeHTTP(w, r)
	default:
		s.spoil(w, r, keep(work, r), met)
	}
}

// spoil sends the answer of the work otherwise than it is.
func (s *Server) spoil(w http.ResponseWriter, r *http.Request, answer *kept, met met) {
	if met.digits > 0 {
		answer.round(met.digits)
	}
	body, flush := answer.body.Bytes(), http.NewResponseController(w).Flush
	maps.Copy(w.Header(), answer.header)
	switch met.fault.Kind {
	case FaultDropAfter:
		s.sleep(r.Context(), met.fault.Delay)
		panic(http.ErrAbortHandler)
	case FaultTruncate:
		w.Header().Set("Content-Length", strconv.Itoa(max(2, len(body))))
		w.WriteHeader(answer.status)
		_, _ = w.Write(body[:len(body)/2])
		_ = flush()
		panic(http.ErrAbortHandler)
	case FaultDrip:
		w.WriteHeader(answer.status)
		for i := range body {
			if !s.sleep(r.Context(), cmp.Or(met.fault.Delay, time.Second)) {
				panic(http.ErrAbortHandler)
			}
			_, _ = w.Write(body[i : i+1])
			_ = flush()
		}
	default:
		if met.fault.Kind == FaultStatus && answer.status < 300 {
			answer.status = met.fault.Status
		}
		w.Header().Del("Content-Length") // rounded, it is another
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

// answerStatus answers an error as the real service would, or as a proxy.
func (s *Server) answerStatus(w http.ResponseWriter, o gen.Operation, f Fault) {
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(f.RetryAfter.Seconds()))))
	}
	text := http.StatusText(f.Status)
	switch {
	case f.Kind == FaultHTML:
		f.Status = cmp.Or(f.Status, http.StatusBadGateway)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(f.Status)
		fmt.Fprintf(w, "<!doctype html>\n<html><head><title>%d %s</title></head><body><h1>%[2]s</h1></body></html>\n", f.Status, http.StatusText(f.Status))
	case o.ID == gen.OperationRequestToken.ID && f.Status < 500:
		code := cmp.Or(map[int]string{400: "invalid_request", 429: "too_many_requests"}[f.Status], "access_denied")
		if f.Status == http.StatusTooManyRequests {
			rateLimit(w.Header(), 10, s.Now().Add(f.RetryAfter))
		}
		writeTokenError(w, f.Status, code, text)
	case f.Status < 300: // of a late commit
		w.WriteHeader(f.Status)
	case f.Status == http.StatusUnprocessableEntity:
		writeDetail(w, f.Status, []fieldError{{[]any{"body"}, text, "value_error"}})
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
