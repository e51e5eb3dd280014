package emulator

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
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

// kinds are all kinds: the settings that each must and may have, beside those
// that all may; what it does; and whether that ends the request, or only changes
// what follows.
var kinds = map[FaultKind]struct {
	must, may string
	act       func(x *exchange, f Fault)
	ends      bool
}{
	FaultStatus:     {"status", "retry-after", (*exchange).answerStatus, true},
	FaultHTML:       {"", "status", (*exchange).answerHTML, true},
	FaultLatency:    {"delay", "", func(x *exchange, f Fault) { x.wait(f.Delay) }, false},
	FaultHang:       {"", "delay", func(x *exchange, f Fault) { x.wait(cmp.Or(f.Delay, math.MaxInt64)); drop() }, true},
	FaultDrop:       {"", "", func(*exchange, Fault) { drop() }, true},
	FaultDropAfter:  {"", "delay", func(x *exchange, f Fault) { keep(x.work, x.r); x.wait(f.Delay); drop() }, true},
	FaultLateCommit: {"", "status delay", (*exchange).commitLate, true},
	FaultTruncate:   {"", "", (*exchange).truncate, true},
	FaultDrip:       {"", "delay", (*exchange).drip, true},
	FaultStaleRead:  {"", "delay", func(x *exchange, f Fault) { x.lag += cmp.Or(f.Delay, time.Second) }, false},
	FaultBlind:      {"", "delay", func(x *exchange, f Fault) { x.blind, x.lasting = true, x.lasting+f.Delay }, false},
	FaultRound:      {"digits", "", (*exchange).round, false},
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

// set gives the settings that are not zero, as texts.
func (f Fault) set() map[string]string {
	set, zero := make(map[string]string), new(Fault).settings()
	f.settings().VisitAll(func(s *flag.Flag) {
		if s.DefValue != zero.Lookup(s.Name).DefValue {
			set[s.Name] = s.DefValue
		}
	})
	return set
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
				err = errors.New("a probability is above 0 and at most 1; a count is written as x2")
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

func (f Fault) check() error {
	operations := []string{AnyOperation}
	for _, o := range gen.Operations() {
		operations = append(operations, o.ID)
	}
	kind, known := kinds[f.Kind]
	switch {
	case !slices.Contains(operations, f.Operation):
		return fmt.Errorf("the operation is none of %s; want OPERATION:KIND, such as createSources:drop-after:0.2", strings.Join(operations, ", "))
	case !known:
		return fmt.Errorf("the kind is none of a number, %v", slices.Sorted(maps.Keys(kinds)))
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return errors.New("a status is 200 to 599")
	case f.Delay < 0 || f.RetryAfter < 0 || f.Skip < 0 || f.Count < 0 || !(f.Probability >= 0 && f.Probability <= 1) || f.Digits < 0 || f.Digits > 15:
		return errors.New("a number is out of range")
	}
	set := f.set()
	for _, name := range strings.Fields(kind.must) {
		if set[name] == "" {
			return fmt.Errorf("%s needs %s=", f.Kind, name)
		}
	}
	for name := range set {
		if !slices.Contains(strings.Fields(kind.must+" "+kind.may+" skip client alt_id"), name) {
			return fmt.Errorf("%s has no %s", f.Kind, name)
		}
	}
	return nil
}

// String is the fault's text, which [ParseFault] reads.
func (f Fault) String() string {
	text, set := f.Operation+":"+string(f.Kind), f.set()
	if f.Kind == FaultStatus {
		text = f.Operation + ":" + strconv.Itoa(f.Status)
		delete(set, "status")
	}
	if f.Probability != 0 {
		text += ":" + strconv.FormatFloat(f.Probability, 'g', -1, 64)
	}
	if f.Count != 0 {
		text += ":x" + strconv.Itoa(f.Count)
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		text += ":" + name + "=" + strings.NewReplacer("%", "%25", ":", "%3A").Replace(set[name])
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

// activeFault is one in force.
type activeFault struct {
	Fault
	seen, done int        // requests that it was about, and how many it has applied to
	random     *rand.Rand // its own, so that it does not depend on other faults
}

// SetFaults replaces all faults, and starts their counts anew.
func (s *Server) SetFaults(faults []Fault) error {
	var active []activeFault
	for i, f := range faults {
		if err := f.check(); err != nil {
			return fmt.Errorf("emulator: fault %s: %w", f, err)
		}
		active = append(active, activeFault{Fault: f, random: rand.New(rand.NewPCG(s.options.Seed, uint64(i)))})
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
			f.Skip = max(0, f.Skip-f.seen)
			left = append(left, f.Fault)
		}
	}
	return left
}

// meet draws the faults that an exchange meets, in their order. The caller has
// the mutex.
func (s *Server) meet(x *exchange) (met []Fault) {
	for i := range s.faults {
		f := &s.faults[i]
		if f.Operation != AnyOperation && f.Operation != x.operation.ID ||
			f.ClientID != "" && f.ClientID != x.clientID || f.AltID != "" && !slices.Contains(x.altIDs, f.AltID) {
			continue
		}
		f.seen++
		ended := len(met) > 0 && kinds[met[len(met)-1].Kind].ends
		if !ended && f.seen > f.Skip && (f.Count == 0 || f.done < f.Count) && (f.Probability == 0 || f.random.Float64() < f.Probability) {
			f.done++
			met = append(met, f.Fault)
		}
	}
	return met
}

// run carries out an exchange, with the faults that it meets.
func (x *exchange) run(met []Fault) {
	for _, f := range met {
		if kinds[f.Kind].act(x, f); kinds[f.Kind].ends {
			return
		}
	}
	x.work(x.w, x.r)
}

// drop drops the connection.
func drop() { panic(http.ErrAbortHandler) }

// wait waits, or drops the connection when the client goes or the server is
// closed.
func (x *exchange) wait(d time.Duration) {
	if d == 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return
	case <-x.r.Context().Done():
	case <-x.server.ctx.Done():
	}
	drop()
}

// answerStatus answers an error as the real service would, or does the work and
// answers with another success.
func (x *exchange) answerStatus(f Fault) {
	text := http.StatusText(f.Status)
	var err error
	switch {
	case f.Status < 300 && f.Kind == FaultLateCommit:
		err = &refusal{status: f.Status}
	case f.Status < 300:
		k := keep(x.work, x.r)
		if k.status < 300 {
			k.status = f.Status
		}
		k.send(x.w)
		return
	case x.operation.ID == gen.OperationRequestToken.ID && f.Status < 500:
		code := cmp.Or(map[int]string{400: "invalid_request", 429: "too_many_requests"}[f.Status], "access_denied")
		if f.Status == http.StatusTooManyRequests {
			rateLimit(x.w.Header(), 10, x.server.Now().Add(f.RetryAfter))
		}
		err = refuseToken(f.Status, code, text)
	case f.Status == http.StatusUnprocessableEntity:
		err = refuse(f.Status, []fieldError{{[]any{"body"}, text, "value_error"}})
	case f.Status >= 500:
		err = &refusal{f.Status, map[string]any{"status": f.Status, "message": text}} // the older shape [V1]
	default:
		err = refuse(f.Status, text)
	}
	if f.RetryAfter > 0 {
		x.w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(f.RetryAfter.Seconds()))))
	}
	x.server.answer(x.w, x.r, nil, err)
}

// answerHTML answers as a proxy would.
func (x *exchange) answerHTML(f Fault) {
	f.Status = cmp.Or(f.Status, http.StatusBadGateway)
	x.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	x.w.WriteHeader(f.Status)
	fmt.Fprintf(x.w, "<!doctype html>\n<html><head><title>%d %s</title></head><body><h1>%[2]s</h1></body></html>\n", f.Status, http.StatusText(f.Status))
}

// commitLate ends the exchange now and does the work later.
func (x *exchange) commitLate(f Fault) {
	if !x.server.begin() {
		drop()
	}
	x.r = x.r.WithContext(context.WithoutCancel(x.r.Context()))
	go func() {
		defer x.server.work.Done()
		defer func() { _ = recover() }() // as net/http does; there is nobody to tell
		x.wait(cmp.Or(f.Delay, time.Second))
		keep(x.work, x.r)
	}()
	if f.Status == 0 {
		drop()
	}
	x.answerStatus(f)
}

// truncate sends half of the answer.
func (x *exchange) truncate(Fault) {
	k := keep(x.work, x.r)
	k.header.Set("Content-Length", strconv.Itoa(max(2, len(k.body))))
	k.body = k.body[:len(k.body)/2]
	k.send(x.w)
	_ = http.NewResponseController(x.w).Flush()
	drop()
}

// drip sends the answer byte by byte.
func (x *exchange) drip(f Fault) {
	k := keep(x.work, x.r)
	body := k.body
	k.body = nil
	k.send(x.w)
	for i := range body {
		x.wait(cmp.Or(f.Delay, time.Second))
		_, _ = x.w.Write(body[i : i+1])
		_ = http.NewResponseController(x.w).Flush()
	}
}

// kept is an answer that is not sent yet.
type kept struct {
	header http.Header
	status int
	body   []byte
}

func (k *kept) Header() http.Header    { return k.header }
func (k *kept) WriteHeader(status int) { k.status = status }

func (k *kept) Write(p []byte) (int, error) {
	k.body = append(k.body, p...)
	return len(p), nil
}

// keep does the work.
func keep(work http.HandlerFunc, r *http.Request) *kept {
	k := &kept{header: make(http.Header), status: http.StatusOK}
	work(k, r)
	return k
}

// send sends the answer.
func (k *kept) send(w http.ResponseWriter) {
	maps.Copy(w.Header(), k.header)
	w.WriteHeader(k.status)
	_, _ = w.Write(k.body)
}

var (
	coordinates = regexp.MustCompile(`"coordinates":[][,.eE0-9+-]*`) // an answer's geometry has no white space
	decimals    = regexp.MustCompile(`-?[0-9]+\.[0-9]+([eE][+-]?[0-9]+)?`)
)

// round has the work answer with other coordinates.
func (x *exchange) round(f Fault) {
	exact, scale := x.work, math.Pow10(f.Digits)
	x.work = func(w http.ResponseWriter, r *http.Request) {
		k := keep(exact, r)
		k.header.Del("Content-Length")
		k.body = coordinates.ReplaceAllFunc(k.body, func(all []byte) []byte {
			return decimals.ReplaceAllFunc(all, func(number []byte) []byte {
				value, _ := strconv.ParseFloat(string(number), 64)
				return strconv.AppendFloat(nil, math.Round(value*scale)/scale, 'f', -1, 64)
			})
		})
		k.send(w)
	}
}
