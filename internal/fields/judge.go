package fields

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/meti-go/meti/internal/scan"
	"github.com/meti-go/meti/ledger"
)

// Options say what of a file's features is sent, and how it is judged.
type Options struct {
	IDProperty string // the property that holds the id; empty for the Feature's own
	Start, End string // a property, or a date for all; empty for start_at and end_at
	Bare       bool   // a bare geometry is judged alone, without an id and a period
	Rules      ledger.Rules
}

// Judge judges features. It is safe for many goroutines.
type Judge struct {
	options  Options
	names    [3]string // the properties of id, start and end; empty for what is none
	fixed    [3][]byte // what start and end are for all, as JSON
	pointers [3]string // where id, start and end stand in a Feature

	mu         sync.Mutex
	properties map[string]bool // some that features have
	had        [3]bool         // whether a feature has an id, a start and an end
	noted      bool            // a Feature was judged, which should have them
}

// standard is where id, start and end stand where nothing else is said, as
// package ledger has it.
var standard = [3]string{"/id", "/properties/start_at", "/properties/end_at"}

// dateLike is what nobody calls a property: digits and what stands between them.
var dateLike = regexp.MustCompile(`^[0-9][0-9 ./:,+TZtz-]*$`)

// NewJudge returns a Judge. Its error is that of a command line: a date that
// cannot be read.
func NewJudge(o Options) (*Judge, error) {
	j := &Judge{
		options:    o,
		names:      [3]string{o.IDProperty, cmp.Or(o.Start, "start_at"), cmp.Or(o.End, "end_at")},
		pointers:   standard,
		properties: map[string]bool{},
	}
	var err error
	for i, name := range j.names {
		switch {
		case i > 0 && dateLike.MatchString(name):
			at, wrong := ledger.ParseTime(name)
			err = errors.Join(err, wrong)
			j.names[i], j.had[i] = "", true
			j.fixed[i], _ = json.Marshal(at) // a date that was given is UTC, without a warning
		case name != "":
			j.pointers[i] = "/properties/" + escape(name)
		}
	}
	return j, err
}

// Judged is a feature as it will be sent, and what is wrong with it.
type Judged struct {
	ledger.Feature
	Problems ledger.Problems
}

// Invalid reports whether it must not be sent.
func (f *Judged) Invalid() bool { return f.Problems.Invalid() }

// Item judges a feature. Its Geometry is a part of the item's text.
func (j *Judge) Item(item Item) (f Judged) {
	rules := j.options.Rules
	values, pointers := make([][]byte, 3), standard // of id, start and end
	switch {
	case item.Err != nil:
		f.Problems = rules.Apply(ledger.Problems{ledger.NewProblem(ledger.RuleJSON, "", "%v", item.Err)})
		return f
	case item.Kind == Geometry && j.options.Bare:
		f.Geometry = item.Raw
		f.Shape, f.Problems = ledger.JudgeGeometry(item.Raw, rules)
		return f
	case item.Kind == Feature:
		pointers = j.pointers
		values, f.Problems = j.mapped(item.Raw)
	case item.Kind == Source:
		pointers = [3]string{"/alt_id", "/start_at", "/end_at"}
		if values, f.Problems = members(item.Raw, "", "alt_id", "start_at", "end_at"); item.Index > 0 {
			f.Problems = append(f.Problems, ledger.NewProblem(ledger.RuleCollection, "", "a file holds one source of this form, with attributes of its own"))
		}
	}
	before := rules.Apply(f.Problems)
	f.Feature, f.Problems = ledger.JudgeValues(ledger.Values{ID: values[0], Start: values[1], End: values[2], Geometry: GeometryOf(item)}, rules)
	for i := range f.Problems {
		if k := slices.Index(standard[:], f.Problems[i].Pointer); k >= 0 {
			f.Problems[i].Pointer = pointers[k]
		}
	}
	f.Problems = append(before, f.Problems...)
	return f
}

// mapped finds the id, the start and the end of a Feature, and what is wrong with
// it beside them.
func (j *Judge) mapped(raw []byte) (values [][]byte, problems ledger.Problems) {
	own, problems := members(raw, "", "id", "type", "properties", "crs", "geometry")
	values, more := members(own[2], "/properties", j.names[:]...)
	for i, name := range j.names {
		switch {
		case name != "":
			values[i] = values[slices.Index(j.names[:], name)] // one property may say two things
		case i == 0:
			values[i] = own[0]
		default:
			values[i] = j.fixed[i]
		}
	}
	j.note(own[2], values)
	problems = append(problems, more...)
	if string(own[1]) != `"Feature"` {
		problems = append(problems, ledger.NewProblem(ledger.RuleFeatureType, "/type", `the type is not "Feature"`))
	}
	return values, append(problems, ledger.CheckCRS(own[3])...)
}

// members finds members of an object by their exact names, and warns of those
// that stand twice.
func members(object []byte, at string, names ...string) (values [][]byte, problems ledger.Problems) {
	values = make([][]byte, len(names))
	scan.Members(object, func(name, value []byte) bool {
		if i := slices.Index(names, string(name)); i >= 0 && len(name) > 0 {
			if values[i] != nil {
				problems = append(problems, repeatedMember(at, names[i]))
			}
			values[i] = value
		}
		return true
	})
	return values, problems
}

func repeatedMember(at, name string) ledger.Problem {
	return ledger.NewProblem(ledger.RuleRepeatedMember, at+"/"+escape(name), "the member %q stands twice; the last one counts", name)
}

// escape writes a name as a step of a JSON pointer.
func escape(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

// GeometryOf finds the geometry in an item's text; nil where there is none. The
// geojson of a source may be a whole Feature.
func GeometryOf(item Item) []byte {
	if item.Kind == Geometry {
		return item.Raw
	}
	values, _ := members(item.Raw, "", "geometry", "geojson")
	if geojson := values[1]; values[0] == nil && item.Kind == Source && geojson != nil {
		values, _ = members(geojson, "", "geometry", "type")
		if string(values[1]) != `"Feature"` {
			return geojson
		}
	}
	return values[0]
}

// SSID is the id that METI gave a source, empty for what is none.
func SSID(item Item) string {
	values, _ := members(item.Raw, "", "id")
	if item.Kind != Source || len(values[0]) == 0 || values[0][0] != '"' {
		return ""
	}
	return scan.Unquote(values[0])
}

// mostNames bounds how many names of properties are kept and told.
const mostNames = 30

// note keeps what Missing tells.
func (j *Judge) note(properties []byte, values [][]byte) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.noted = true
	for i, value := range values {
		j.had[i] = j.had[i] || value != nil
	}
	if j.had != [3]bool{true, true, true} && len(j.properties) < mostNames {
		scan.Members(properties, func(name, _ []byte) bool {
			j.properties[string(name)] = true
			return len(j.properties) < mostNames
		})
	}
}

// Missing says what no Feature has that was judged, names the properties that
// they have, and which flags help; it is nil where each was found at least once.
func (j *Judge) Missing() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	var missing, flags []string
	how := "name the property that holds it"
	for i, flag := range []string{"--id-property", "--start", "--end"} {
		what := "an id"
		if j.names[i] != "" {
			what = fmt.Sprintf("the property %q", j.names[i])
		}
		if j.had[i] || !j.noted {
			continue
		}
		missing, flags = append(missing, what), append(flags, flag)
		if i > 0 {
			how = "name the property that holds it, or give a date for all"
		}
	}
	if missing == nil {
		return nil
	}
	have := cmp.Or(strings.Join(slices.Sorted(maps.Keys(j.properties)), ", "), "no properties")
	return fmt.Errorf("no feature has %s; they have %s. With %s %s", strings.Join(missing, " or "), have, strings.Join(flags, ", "), how)
}
