package register

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/ledger"
)

// ErrExists says that the account has features of the input already, and that
// nothing says what to do about it. Nothing was sent.
var ErrExists = errors.New("features are registered already")

// Options say what to register, how, and who is told.
type Options struct {
	// Client sends. It needs the scopes write:sources and read:sources.
	Client *api.Client
	// Server is the client's base URL, and Account whose token it uses: its
	// account_id, or its client id where the token names none. A journal is
	// kept apart by both.
	Server  string
	Account string

	// Input is the path of a GeoJSON FeatureCollection, or of newline-delimited
	// GeoJSON; "-" or empty for Stdin.
	Input string
	Stdin io.Reader
	// Journal is the path of the journal; Input with ".meti-journal" behind it
	// if empty. Where none can be made beside the input, the run goes on with
	// one that ends with it, and says so.
	Journal string

	// IDProperty is the property that holds alt_id; the Feature's id if empty.
	// StartProperty and EndProperty are those that hold the period, start_at and
	// end_at if empty. What reads as a date is the date of every feature.
	IDProperty    string
	StartProperty string
	EndProperty   string
	// Shared are the attributes of every feature; its FeatureCollection is left
	// alone.
	Shared api.SourceCreateFeatures

	// Strict sends nothing if one feature is invalid.
	Strict bool
	// SkipExisting leaves out the features that the account has already, and
	// AllowExisting registers them again. Without either the run stops.
	SkipExisting  bool
	AllowExisting bool

	// Settle is how long after its connection ended a request may still
	// commit; 60 seconds if zero.
	Settle time.Duration
	// BatchFeatures and BatchBytes bound one request: 100 features and 1 MiB if
	// zero. InFlight is how many are under way at once: 4.
	BatchFeatures int
	BatchBytes    int
	InFlight      int

	// Progress is told how far the run is, and Notice of what a person should
	// know. Result gets one Result a feature, in the input's order, at the end
	// of every run that could read its input and its journal. None is called by
	// two goroutines at once, and each may be nil.
	Progress func(Progress)
	Notice   func(string)
	Result   func(Result) error
}

// Outcome is what became of a feature.
type Outcome string

// The outcomes.
const (
	Registered Outcome = "registered" // by this journal, now or in an earlier run
	Existed    Outcome = "existed"    // the account had it, and it was left out
	Invalid    Outcome = "invalid"    // the ledger's rules refuse it; it was not sent
	Refused    Outcome = "refused"    // METI refuses it
	Unknown    Outcome = "unknown"    // it was sent, and may be registered or not
	Pending    Outcome = "pending"    // not sent yet, or without effect
)

// Result is what became of one feature, as the journal knows it: Conflict and
// ConflictWith are what METI said when it was registered, and nil where it did
// not say.
type Result struct {
	AltID        string     `json:"alt_id"`
	Outcome      Outcome    `json:"outcome"`
	ID           api.SSID   `json:"id,omitempty"`
	Hectares     *float64   `json:"hectares,omitempty"`
	Conflict     *bool      `json:"conflict,omitempty"`
	ConflictWith []api.SSID `json:"conflict_with,omitempty"`
	Reason       string     `json:"reason,omitempty"`

	feature func() (json.RawMessage, error)
}

// Feature reads the feature of the input again. It is for use within
// [Options].Result.
func (r Result) Feature() (json.RawMessage, error) { return r.feature() }

// Counts are how many features have which outcome.
type Counts struct {
	Features   int
	Registered int
	Existed    int
	Invalid    int
	Refused    int
	Unknown    int
	Pending    int
	Conflicts  int // among the registered
}

// Done are the features that are where they should be.
func (c Counts) Done() int { return c.Registered + c.Existed }

// Stage is what a run is doing.
type Stage string

// The stages of a run, in their order.
const (
	StageReading     Stage = "reading"     // the input, and checking it
	StageLookingUp   Stage = "looking up"  // whether the account has it already
	StageRegistering Stage = "registering" // and settling what is unknown
)

// Progress is how far a run is. While it is reading, Features is how many were
// read so far.
type Progress struct {
	Stage Stage
	Counts
	// Settling is how many requests of unknown outcome are waited for.
	Settling int
}

// Summary is what a run came to.
type Summary struct {
	Counts
	// Sent is how many features this run registered.
	Sent int
	// Interrupted says that the context ended before the work did.
	Interrupted bool
	// Journal is the path of the journal, empty where none could be kept.
	Journal string
}

// The limits that nobody has asked to change.
const (
	defaultSettle        = time.Minute
	defaultBatchFeatures = 100
	defaultBatchBytes    = 1 << 20
	defaultInFlight      = 4
	// longestRequest is when a request is given up, however slow its answer is.
	longestRequest = 2 * time.Minute
	// graceRequests and graceLookups are how long after an interruption
	// requests are waited for, and lost ones looked up.
	graceRequests = 12 * time.Second
	graceLookups  = 16 * time.Second
)

// Run registers the features of an input. The package documentation says how.
//
// Its error is what stopped it, such as an error of package api, [ErrExists],
// [ErrInput], [ErrJournal] or [ErrLocked]; the Summary and the results are true
// all the same. Features that are invalid, refused or unknown are no error of the
// run: look at the Summary. When ctx ends no further request is made, those
// under way are waited for and settled, and Run returns within 20 seconds.
func Run(ctx context.Context, o Options) (Summary, error) {
	if err := o.complete(); err != nil {
		return Summary{}, err
	}
	r := &run{Options: o, ctx: ctx, mapping: newMapping(o)}
	return r.run()
}

func (o *Options) complete() error {
	switch {
	case o.Client == nil:
		return errors.New("register: no client")
	case o.Server == "" || o.Account == "":
		return errors.New("register: the journal needs Server and Account")
	case o.SkipExisting && o.AllowExisting:
		return errors.New("register: skip what exists, or allow it: not both")
	case o.Settle < 0 || o.BatchFeatures < 0 || o.BatchBytes < 0 || o.InFlight < 0:
		return errors.New("register: no limit may be negative")
	}
	set := func(value *int, otherwise int) {
		if *value == 0 {
			*value = otherwise
		}
	}
	set(&o.BatchFeatures, defaultBatchFeatures)
	set(&o.BatchBytes, defaultBatchBytes)
	set(&o.InFlight, defaultInFlight)
	if o.Settle == 0 {
		o.Settle = defaultSettle
	}
	o.Server = strings.TrimRight(o.Server, "/")
	o.Shared.FeatureCollection = api.FeatureCollection{}
	return nil
}

// run is one run.
type run struct {
	Options
	ctx     context.Context // the caller's
	hard    context.Context // for what is under way when ctx ends
	last    context.Context // for looking lost requests up after that
	opened  time.Time       // when the journal was opened
	mapping mapping
	content string // the hash of the shared attributes

	input   *input
	index   *index
	journal *journal

	tell sync.Mutex // held while a callback runs

	mu         sync.Mutex // of what follows; never held over I/O
	err        error      // what stops the run
	stage      Stage
	counts     Counts
	sent       int
	settling   int
	maxBytes   int                 // of a request
	next       int                 // the first entry that may be pending
	lost       [][]int             // batches of unknown outcome
	known      map[uint64]struct{} // the sources that cannot be what a lost request made
	found      map[int]existing    // of entries that are standing
	unfiltered bool                // the server ignores the filter by alt_id
}

func (r *run) run() (summary Summary, err error) {
	r.maxBytes = r.BatchBytes
	r.known, r.found = map[uint64]struct{}{}, map[int]existing{}
	if r.content, err = contentOf(r.Shared); err != nil {
		return summary, err
	}
	if problems := ledger.CheckAttributes(attributes(r.Shared)); len(problems) > 0 {
		for _, p := range problems {
			r.notice("%s", p)
		}
	}

	if r.input, err = openUnder(r.ctx, r.Input, r.Stdin); err != nil {
		return summary, err
	}
	defer r.input.close()
	keep, err := r.openJournal()
	if err != nil {
		return summary, err
	}
	defer func() {
		if closeErr := r.journal.close(); err == nil {
			err = closeErr
		}
		if !keep {
			r.journal.remove()
		}
	}()
	if keep {
		summary.Journal = r.journal.path
	}

	r.setStage(StageReading)
	if r.index, err = readIndex(r.ctx, r.input, r.mapping, r.reading); err != nil {
		summary.Interrupted = r.ctx.Err() != nil
		return summary, err
	}
	if err := r.replay(); err != nil {
		return summary, err
	}
	r.recount()
	r.describe()

	var stop context.CancelFunc
	r.hard, stop = after(r.ctx, graceRequests)
	defer stop()
	r.last, stop = after(r.ctx, graceLookups)
	defer stop()
	r.work()

	summary.Counts, summary.Sent = r.counts, r.sent
	summary.Interrupted = r.ctx.Err() != nil && r.counts.Pending+r.counts.Unknown > 0
	if r.err == nil && summary.Interrupted {
		r.err = fmt.Errorf("register: %w", context.Cause(r.ctx))
	}
	return summary, errors.Join(r.err, r.results())
}

// contentOf names the shared attributes, in whatever order the generated type
// writes them: a journal outlives an upgrade.
func contentOf(shared api.SourceCreateFeatures) (string, error) {
	text, err := json.Marshal(shared)
	if err != nil {
		return "", err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return "", err
	}
	delete(members, "feature_collection")
	if text, err = json.Marshal(members); err != nil {
		return "", err
	}
	return sum(text).String(), nil
}

// after is a context that ends some time after another.
func after(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	later, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(grace, cancel)
		context.AfterFunc(later, func() { timer.Stop() })
	})
	return later, func() { stop(); cancel() }
}

// openJournal opens the journal that was asked for, or the one beside the
// input, or one that ends with the run.
func (r *run) openJournal() (keep bool, err error) {
	path := r.Journal
	if path == "" && r.input.besides {
		path = r.Input + ".meti-journal"
	}
	if path != "" {
		r.journal, err = openJournal(path)
		_, missing := os.Stat(path)
		readOnly := errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)
		if err == nil || r.Journal != "" || !readOnly || missing == nil {
			r.opened = time.Now()
			return true, err
		}
		r.notice("no journal can be kept beside the input: %v", err)
	}
	r.notice("if this run is killed, the next one has nothing to go by but the account's sources; name a file for the journal to change that")
	folder, err := temporaryFolder()
	if err != nil {
		return false, err
	}
	r.journal, err = openJournal(filepath.Join(folder, "journal"))
	r.opened = time.Now()
	return false, err
}

// describe says what a person should know before anything is sent.
func (r *run) describe() {
	if len(r.index.warned) == 0 {
		return
	}
	var list []string
	for rule, n := range r.index.warned {
		list = append(list, fmt.Sprintf("%s in %d", rule, n))
	}
	slices.Sort(list)
	r.notice("warnings, which METI's database takes: %s features; \"meti check\" says where", strings.Join(list, ", "))
}

// work is the part of a run that talks to METI.
func (r *run) work() {
	x := r.index
	switch {
	case x.missing > 0:
		r.notice("nothing was sent: %d features have no id; name the property that holds it (--id-property)", x.missing)
		return
	case x.repeated > 0:
		r.notice("nothing was sent: %d features have the id, the period and the boundary of another one", x.repeated)
		return
	case r.Strict && r.counts.Invalid > 0:
		r.notice("nothing was sent: %d features are invalid", r.counts.Invalid)
		return
	}
	for _, step := range []func() error{r.lookBefore, r.decide} {
		if err := step(); err != nil {
			r.fail(err)
			return
		}
	}
	r.setStage(StageRegistering)
	var workers sync.WaitGroup
	for range r.InFlight {
		workers.Go(func() {
			for {
				batch, lost := r.take()
				if len(batch) == 0 {
					return
				}
				if lost {
					r.resume(batch)
				} else {
					r.deliver(batch)
				}
			}
		})
	}
	workers.Wait()
}

// fail stops the run: what is under way ends, nothing more begins.
func (r *run) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if interrupted := r.ctx.Err() != nil && errors.Is(err, context.Canceled); r.err == nil && !interrupted {
		r.err = err
	}
}

func (r *run) stopped() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err != nil || r.ctx.Err() != nil
}

func (r *run) setStage(s Stage) {
	r.mu.Lock()
	r.stage = s
	r.mu.Unlock()
	r.progress()
}

func (r *run) reading(n int) {
	r.mu.Lock()
	r.counts.Features = n
	r.mu.Unlock()
	r.progress()
}

func (r *run) progress() {
	if r.Progress == nil {
		return
	}
	r.tell.Lock()
	defer r.tell.Unlock()
	r.mu.Lock()
	p := Progress{Stage: r.stage, Counts: r.counts, Settling: r.settling}
	r.mu.Unlock()
	r.Progress(p)
}

func (r *run) notice(format string, args ...any) {
	if r.Notice == nil {
		return
	}
	r.tell.Lock()
	defer r.tell.Unlock()
	r.Notice(fmt.Sprintf(format, args...))
}

// counter is the count that a state belongs to.
func (c *Counts) counter(s state) *int {
	switch s {
	case invalid:
		return &c.Invalid
	case lost:
		return &c.Unknown
	case registered:
		return &c.Registered
	case existed, standing:
		return &c.Existed
	case refused:
		return &c.Refused
	}
	return &c.Pending
}

// recount counts the entries anew.
func (r *run) recount() {
	counts := Counts{Features: len(r.index.entries)}
	for i := range r.index.entries {
		e := &r.index.entries[i]
		*counts.counter(e.state)++
		if e.conflict && e.state == registered {
			counts.Conflicts++
		}
	}
	r.mu.Lock()
	r.counts = counts
	r.mu.Unlock()
}

// move puts entries into a state, with the journal's line that says so.
func (r *run) move(batch []int, to state, line int64) {
	r.mu.Lock()
	for place, i := range batch {
		e := &r.index.entries[i]
		*r.counts.counter(e.state)--
		*r.counts.counter(to)++
		e.state = to
		if to != pending {
			e.line, e.place = line, int32(place)
		}
	}
	r.mu.Unlock()
	r.progress()
}

// attributes are the shared ones that the ledger has rules for.
func attributes(shared api.SourceCreateFeatures) ledger.Attributes {
	a := ledger.Attributes{ConstituentSSIDs: shared.ConstituentSSIDs}
	if shared.SourceType != nil {
		a.SourceType = string(*shared.SourceType)
	}
	if shared.GeometrySource != nil {
		a.GeometrySource = string(*shared.GeometrySource)
	}
	if shared.MeasurementPointID != nil {
		a.MeasurementPointID = *shared.MeasurementPointID
	}
	return a
}
