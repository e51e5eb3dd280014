package fields

import (
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
	options    Options
	start, end value

	mu         sync.Mutex
	properties map[string]bool // some that features have
	had        map[string]bool // of those that were looked for
	hadID      bool            // a Feature has an id
}

// value is a property, or the same for all features.
type value struct {
	property string
	fixed    []byte // JSON
}

// dateLike is what nobody calls a property: digits and what stands between them.
var dateLike = regexp.MustCompile(`^[0-9][0-9 ./:,+TZtz-]*$`)

// NewJudge returns a Judge. Its error is that of a command line: a date that
// cannot be read.
func NewJudge(o Options) (*Judge, error) {
	j := &Judge{options: o, properties: map[string]bool{}, had: map[string]bool{}}
	var err error
	for _, one := range []struct {
		to               *value
		given, otherwise string
	}{{&j.start, o.Start, "start_at"}, {&j.end, o.End, "end_at"}} {
		switch {
		case one.given == "":
			one.to.property = one.otherwise
		case dateLike.MatchString(one.given):
			at, wrong := ledger.ParseTime(one.given)
			err = errors.Join(err, wrong)
			one.to.fixed, _ = json.Marshal(at) // a date that was given is UTC, without a warning
		default:
			one.to.property = one.given
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
func (j *Judge) Item(item Item) Judged {
	if item.Err != nil {
		p := ledger.NewProblem(ledger.RuleJSON, "", item.Err.Error(), "write valid JSON (RFC 8259) in UTF-8")
		return Judged{Problems: j.options.Rules.Apply(ledger.Problems{p})}
	}
	var f Judged
	switch rules := j.options.Rules; {
	case item.Kind == Geometry && j.options.Bare:
		f.Geometry = item.Raw
		f.Shape, f.Problems = ledger.JudgeGeometry(item.Raw, rules)
	case item.Kind == Geometry:
		f.Feature, f.Problems = ledger.JudgeValues(ledger.Values{Geometry: item.Raw}, rules)
	case item.Kind == Source:
		values, problems := members(item.Raw, "", []string{"alt_id", "start_at", "end_at"})
		if f.Problems = problems; item.Index > 0 {
			f.Problems = append(f.Problems, ledger.NewProblem(ledger.RuleCollection, "",
				"a file holds one source of this form, with attributes of its own", "write Features, or a file for each"))
		}
		f.judge(ledger.Values{ID: values[0], Start: values[1], End: values[2], Geometry: GeometryOf(item)}, rules,
			[3]string{"/alt_id", "/start_at", "/end_at"})
	default:
		f = j.feature(item.Raw)
	}
	return f
}

func (j *Judge) feature(raw []byte) (f Judged) {
	values, problems := members(raw, "", []string{"type", "id", "properties", "geometry", "crs"})
	kind, id, properties, geometry, crs := values[0], values[1], values[2], values[3], values[4]
	pointers := [3]string{"/id", "/properties/start_at", "/properties/end_at"}
	names := []string{j.options.IDProperty, j.start.property, j.end.property}
	values, more := members(properties, "/properties", names)
	j.note(properties, names, values, id != nil)
	for i, name := range names {
		if name != "" {
			values[i] = values[slices.Index(names, name)] // one property may say two things
			pointers[i] = "/properties/" + escape(name)
		}
	}
	if j.options.IDProperty != "" {
		id = values[0]
	}
	v := ledger.Values{ID: id, Start: values[1], End: values[2], Geometry: geometry}
	if j.start.fixed != nil {
		v.Start = j.start.fixed
	}
	if j.end.fixed != nil {
		v.End = j.end.fixed
	}
	f.Problems = append(problems, more...)
	if string(kind) != `"Feature"` {
		f.Problems = append(f.Problems, ledger.NewProblem(ledger.RuleFeatureType, "/type", `the type is not "Feature"`, `write "Feature"`))
	}
	f.Problems = append(f.Problems, ledger.CheckCRS(crs)...)
	f.judge(v, j.options.Rules, pointers)
	return f
}

// judge judges the values, behind what was found before. The pointers are where
// id, start and end stand in the file.
func (f *Judged) judge(v ledger.Values, rules ledger.Rules, pointers [3]string) {
	before := f.Problems
	f.Feature, f.Problems = ledger.JudgeValues(v, rules)
	for i := range f.Problems {
		at := &f.Problems[i].Pointer
		if k := slices.Index([]string{"/id", "/properties/start_at", "/properties/end_at"}, *at); k >= 0 {
			*at = pointers[k]
		}
	}
	f.Problems = append(rules.Apply(before), f.Problems...)
}

// members finds members of an object by their exact names, and warns of those
// that stand twice.
func members(object []byte, at string, names []string) (values [][]byte, problems ledger.Problems) {
	values = make([][]byte, len(names))
	scan.Members(object, func(name, value []byte) bool {
		i := slices.IndexFunc(names, func(want string) bool { return want == string(name) && want != "" })
		if i < 0 {
			return true
		}
		if values[i] != nil {
			problems = append(problems, ledger.NewProblem(ledger.RuleRepeatedMember, at+"/"+escape(string(name)),
				fmt.Sprintf("the member %q stands twice; the last one counts", name), "take one out"))
		}
		values[i] = value
		return true
	})
	return values, problems
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
	values, _ := members(item.Raw, "", []string{"geometry", "geojson"})
	if geojson := values[1]; values[0] == nil && item.Kind == Source && geojson != nil {
		values, _ = members(geojson, "", []string{"geometry", "type"})
		if string(values[1]) != `"Feature"` {
			return geojson
		}
	}
	return values[0]
}

// mostNames bounds how many names of properties are kept and told.
const mostNames = 30

// note keeps what Missing tells.
func (j *Judge) note(properties []byte, names []string, values [][]byte, id bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.hadID = j.hadID || id
	missing := !j.hadID
	for i, name := range names {
		if values[i] != nil && !j.had[name] {
			j.had[name] = true
		}
		missing = missing || name != "" && !j.had[name]
	}
	if missing && len(j.properties) < mostNames {
		scan.Members(properties, func(name, _ []byte) bool {
			j.properties[string(name)] = true
			return len(j.properties) < mostNames
		})
	}
}

// Missing says what no feature has that was judged, names the properties that
// they have, and which flags help; it is nil where each was found at least once.
func (j *Judge) Missing() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	var missing, flags []string
	if j.options.IDProperty == "" && !j.hadID {
		missing, flags = append(missing, "an id"), append(flags, "--id-property")
	}
	for _, one := range []struct{ name, flag string }{
		{j.options.IDProperty, "--id-property"}, {j.start.property, "--start"}, {j.end.property, "--end"},
	} {
		if one.name != "" && !j.had[one.name] {
			missing, flags = append(missing, fmt.Sprintf("the property %q", one.name)), append(flags, one.flag)
		}
	}
	if missing == nil {
		return nil
	}
	have := "they have no properties"
	if len(j.properties) > 0 {
		have = "they have " + strings.Join(slices.Sorted(maps.Keys(j.properties)), ", ")
	}
	how := "name the property that holds it"
	if len(flags) > 1 || flags[0] != "--id-property" {
		how += ", or give a date for all"
	}
	return fmt.Errorf("no feature has %s; %s. With %s %s", strings.Join(missing, " or "), have, strings.Join(flags, ", "), how)
}

// SSID is the id that METI gave a source, empty for what is none.
func SSID(item Item) string {
	values, _ := members(item.Raw, "", []string{"id"})
	if item.Kind != Source || len(values[0]) == 0 || values[0][0] != '"' {
		return ""
	}
	return scan.Unquote(values[0])
}
