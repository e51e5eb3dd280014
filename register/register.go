package register

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"slices"
	"time"

	"github.com/gofrs/flock"

	"github.com/meti-go/meti/api"
	"github.com/meti-go/meti/internal/fields"
	"github.com/meti-go/meti/ledger"
)

var (
	// ErrInputChanged says that the input was changed while it was registered.
	ErrInputChanged = errors.New("the input was changed during the run")
	// ErrIncomplete says that METI's listing lacks sources that METI has: what is
	// new cannot be told, and nothing was sent.
	ErrIncomplete = errors.New("the account could not be read completely")
	// ErrRefused says that METI refused one feature after another and accepted
	// none between.
	ErrRefused = errors.New("METI refuses one feature after another")
	// ErrAltered says that METI did not store a feature as it was sent: what is
	// registered could not be found again.
	ErrAltered = errors.New("METI does not keep what it was sent")
	// ErrTooMany says that more sources would be replaced than Options.MaxReplace.
	ErrTooMany = errors.New("too many sources to replace")
	// ErrSandbox says that the sandbox cannot do what was asked for.
	ErrSandbox = errors.New("not in the sandbox, which keeps nothing")
)

// State is where a feature stands. The table in the package documentation says
// how it gets from one to the next.
type State uint8

// The states. A plan knows the first seven, and a run ends with all but New.
const (
	Invalid    State = iota // by the ledger's rules, without an id, or twice in the input: never sent
	New                     // METI has nothing in its place: it is to be sent
	Registered              // METI has it
	Differs                 // METI has it, with another period or attributes than were asked for
	Boundary                // METI has another boundary under its id and period
	Gone                    // it was registered, and METI has it no more
	Unknown                 // it was sent, and may be registered or not
	Refused                 // METI refuses it
	Pending                 // it was not sent, or without effect
)

var stateNames = [...]string{"invalid", "new", "registered", "differs", "boundary", "gone", "unknown", "refused", "pending"}

// String is the state in a word.
func (s State) String() string { return stateNames[s] }

// MarshalText writes what [State.String] gives.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads it.
func (s *State) UnmarshalText(text []byte) error {
	i := slices.Index(stateNames[:], string(text))
	if i < 0 {
		return fmt.Errorf("register: no state %q", text)
	}
	*s = State(i)
	return nil
}

// Policy says what to do with a feature that METI has, or had, otherwise than
// the input.
type Policy uint8

// The policies.
const (
	Report Policy = iota // report it, and send nothing
	Accept               // count it as done
	Renew                // register it anew; then delete what stood in its place
)

// Options say what to register, how, and who is told.
type Options struct {
	// Client sends. It needs the scopes read:sources and write:sources, and
	// delete:sources for Changed: Renew.
	Client *api.Client

	// Input is the path of a GeoJSON file; "-" or empty for Stdin.
	Input string
	Stdin io.Reader
	// Journal is the path of the journal; Input with ".meti-journal" behind it
	// if empty. Where none can be kept beside the input, the run goes on without
	// one, and says so.
	Journal string
	// NoJournal keeps none, as meti submit --journal none does: what METI lacks is
	// sent only when Settle has passed since the start, for an earlier run may have
	// left requests under way.
	NoJournal bool
	// LookOnly makes a plan that is not to be run: nothing is locked or written.
	LookOnly bool

	// IDProperty is the property that holds alt_id; the Feature's id if empty.
	// StartProperty and EndProperty are those that hold the period, start_at and
	// end_at if empty. What reads as a date is the date of every feature.
	IDProperty, StartProperty, EndProperty string
	// Rules say how features are judged.
	Rules ledger.Rules
	// Attributes are those of every feature, before those of the input. Its
	// FeatureCollection is left alone. Its AccountID names the account to
	// register for, where the token is an admin's.
	Attributes api.SourceCreateFeatures

	// Changed is for features that differ or have another boundary, Gone for
	// those that METI has no more.
	Changed, Gone Policy
	// MaxReplace is how many sources a run may replace; 100 if zero.
	MaxReplace int

	// AgainstAccount reads the whole account, to find conflicts with it. Without it
	// only the alt_ids of the input are looked up where there are ten or fewer, or
	// few beside those of the account.
	AgainstAccount bool
	// CountryOf tells in which country a shape lies, for sources of two countries
	// do not conflict; where it is nil all are taken to lie in one. It is called
	// from many goroutines.
	CountryOf func(*ledger.Shape) string

	// Settle is how long after its connection ended a request may still commit
	// and become visible; 60 seconds if zero.
	Settle time.Duration
	// BatchFeatures and BatchBytes bound one request: 100 features and 1 MiB if
	// zero. InFlight is how many are under way at once: 4.
	BatchFeatures, BatchBytes, InFlight int

	// Progress is told how far the work is, and Notice of what a person should
	// know. Neither is called by two goroutines at once, and each may be nil.
	Progress func(Progress)
	Notice   func(string)
}

// Row is what is known of one feature. Of a source that METI has, ID, Country,
// Hectares and the conflicts are METI's own; before a feature is sent they are
// what the ledger's rules say.
type Row struct {
	AltID    string   `json:"alt_id"`
	State    State    `json:"state"`
	ID       api.SSID `json:"id,omitempty"` // for Boundary and Gone that of the old source
	Country  string   `json:"country,omitempty"`
	Hectares *float64 `json:"hectares,omitempty"`
	// Conflict is nil where nobody knows: before a feature is sent, where it has none
	// with the input and the account was not read as a whole.
	Conflict     *bool   `json:"conflict"`
	ConflictWith []Party `json:"conflict_with,omitempty"`
	Reason       string  `json:"reason,omitempty"`

	feature func() (json.RawMessage, error)
}

// Party is another source or feature of a conflict. One of the account or the
// input has an AltID, one that METI has an ID.
type Party struct {
	ID    api.SSID `json:"id,omitempty"`
	AltID string   `json:"alt_id,omitempty"`
}

// Feature reads the feature of the input again.
func (r Row) Feature() (json.RawMessage, error) { return r.feature() }

// Counts are how many features stand where.
type Counts struct {
	Features int

	Invalid, New, Registered, Differs, Boundary, Gone, Unknown, Refused, Pending int

	Done            int // registered, or accepted as they are
	ToSend          int // by this job
	ToReplace       int // those of them that take the place of a source
	Conflicts       int // features in conflict, as far as is known
	ConflictsToSend int // those of them that are to be sent
}

func (c *Counts) of(s State) *int {
	return [...]*int{&c.Invalid, &c.New, &c.Registered, &c.Differs, &c.Boundary, &c.Gone, &c.Unknown, &c.Refused, &c.Pending}[s]
}

// Stage is what a job is doing.
type Stage string

// The stages of a job, in their order.
const (
	StageReading     Stage = "reading"          // the input, and judging it
	StageAccount     Stage = "reading METI"     // what the account has of it
	StageConflicts   Stage = "comparing"        // what would conflict
	StageRegistering Stage = "registering"      // and settling what is unknown
	StageClosing     Stage = "reading it again" // as METI has it now
)

// Progress is how far a job is.
type Progress struct {
	Stage       Stage
	Done, Total int       // Total is 0 where it is not known
	Conflicts   int       // that METI told so far
	Wait        string    // what is waited for; empty where nothing is
	Until       time.Time // how long at most
}

// Target is where a job registers.
type Target struct {
	Server  string // the base URL
	Account string // the account, or the client where the token names none
	Sandbox bool
}

// Summary is what a run came to.
type Summary struct {
	Counts
	Sent    int    // features that this run registered
	Deleted int    // sources that it replaced
	Journal string // its path; empty where none is kept
	// Interrupted says that the context ended before the work did.
	Interrupted bool
}

// The limits that nobody has asked to change.
const (
	longestRequest = 2 * time.Minute  // then a request is given up, however slow its answer is
	graceRequests  = 12 * time.Second // how long after an interruption requests are waited for

	// So many in a row stop a run that METI refuses as a whole, whose answers never
	// arrive, whose requests never leave, or that cannot read the account again.
	refusedInARow, lostInARow, unsentInARow, unreadInARow = 20, 5, 10, 5
)

func (o *Options) complete() error {
	switch {
	case o.Client == nil:
		return errors.New("register: no client")
	case o.Settle < 0 || o.BatchFeatures < 0 || o.BatchBytes < 0 || o.InFlight < 0 || o.MaxReplace < 0:
		return errors.New("register: no limit may be negative")
	case o.NoJournal && o.Journal != "":
		return errors.New("register: a journal, or none: not both")
	case o.Changed > Renew || o.Gone > Renew:
		return errors.New("register: no such policy")
	}
	o.Settle = cmp.Or(o.Settle, time.Minute)
	o.BatchFeatures, o.BatchBytes = cmp.Or(o.BatchFeatures, 100), cmp.Or(o.BatchBytes, 1<<20)
	o.InFlight, o.MaxReplace = cmp.Or(o.InFlight, 4), cmp.Or(o.MaxReplace, 100)
	o.Attributes.FeatureCollection = api.FeatureCollection{}
	return nil
}

// Job is an input that was read, judged and compared with the account. Its
// methods are for one goroutine.
type Job struct {
	Options
	target  Target
	store   string // the ledger and the account, as the journal names them
	stage   Stage
	account *flock.Flock // keeps it from other runs

	input    *fields.File
	warned   map[string]int // features, by rule
	seed     maphash.Seed
	features int     // of the input
	entries  []entry // these, and former ones
	byName   map[string]int32
	reasons  map[int]string // what rows say beside their state

	attributes json.RawMessage            // what is asked for
	asked      map[string]json.RawMessage // the same by name
	untold     map[string]int             // of how many sources METI does not tell one

	proof    time.Time // what is new waits for a reading that begins later
	journal  *journal
	intents  int        // the highest number
	requests []*request // those of unknown outcome, in the order of their intents

	sources     []source
	bySSID      map[string]int32
	partners    map[int32][]string      // what METI says that sources conflict with
	differences map[int32]string        // attributes of sources that are not what was asked for
	periods     map[int32]ledger.Period // of sources, where they are not their features'
	names       map[string]string       // alt_ids of other sources of the account

	readings   uint16
	read       time.Time // when the last one began
	due        time.Time // when the first must be known of what it left unknown
	whole      bool      // the account was listed
	unfiltered bool      // the server ignores the filter by alt_id
	shapeless  bool      // it has hidden a boundary
	lacking    error     // ErrIncomplete: nothing may be sent
	neighbours neighbours

	clash map[int][]int   // features to be sent that would conflict, whichever came first, or nearly so: both ways
	with  map[int][]Party // the conflicts that a feature to be sent would have
}

// Plan reads an input, judges it, and compares it with the account and the
// journal; it sends nothing. The job that it returns is to be closed.
//
// Its error is what kept it from knowing, such as an error of package api,
// [ErrInput], [ErrJournal] or [ErrLocked].
func Plan(ctx context.Context, o Options) (_ *Job, err error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	j := &Job{
		Options: o, seed: maphash.MakeSeed(), warned: map[string]int{}, byName: map[string]int32{}, reasons: map[int]string{},
		untold: map[string]int{}, bySSID: map[string]int32{}, partners: map[int32][]string{}, differences: map[int32]string{},
		periods: map[int32]ledger.Period{}, names: map[string]string{},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, j.Close())
		}
	}()
	for _, step := range []func(context.Context) error{
		j.readInput, j.aim, j.openJournal, j.lockAccount, j.compareAll, j.findClashes,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return j, nil
}

// Target tells where the job registers.
func (j *Job) Target() Target { return j.target }

// Close gives back the journal and the account.
func (j *Job) Close() error {
	if j.input != nil {
		j.input.Close()
	}
	if j.account != nil {
		_ = j.account.Unlock()
	}
	j.neighbours.close()
	err := j.journal.close()
	j.journal = nil
	return err
}

func (j *Job) progress(p Progress) {
	if j.Options.Progress != nil {
		j.Options.Progress(p)
	}
}

func (j *Job) notice(format string, args ...any) {
	if j.Notice != nil {
		j.Notice(fmt.Sprintf(format, args...))
	}
}
