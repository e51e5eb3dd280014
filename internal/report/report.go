// Package report makes a document of an account's fields, or of a file's: what
// they come to, which of them conflict, and where they lie. It knows nothing of
// METI's API and computes no geometry; its rows say what was found.
package report

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strconv"
	"time"
)

// Document is what a report shows.
type Document struct {
	Title string    // of whom: an account, or the name of a file
	From  string    // where the rows come from
	Made  time.Time // when
	// Offline says that the rows come from files, judged by themselves: whether
	// other custodians' sources or protected areas lie there is not known.
	Offline bool
	// Overlap is the share of a field, 0 to 1, from which an overlap counts.
	Overlap float64
	Fields  []Field
	// World yields the polygons of the countries behind the map, each as rings
	// of longitudes and latitudes in turn.
	World iter.Seq2[string, [][]float64]
}

// Field is one row; its JSON is that of the table of all fields.
type Field struct {
	ID          string    `json:"id"` // the SSID, or where a feature stands in its file
	AltID       string    `json:"alt_id"`
	Country     string    `json:"country"`
	Start       string    `json:"start"` // the period, as people write it
	End         string    `json:"end"`
	Methodology string    `json:"methodology"`
	Year        int       `json:"outcome_reporting_year,omitempty"` // 0 for none
	Hectares    *float64  `json:"hectares"`                         // nil where not known
	Acres       *float64  `json:"acres"`                            // [Document.Rows] says
	State       State     `json:"state"`                            // [Document.Rows] says
	Conflict    bool      `json:"conflict"`
	With        []Partner `json:"conflict_with"`
	Share       *float64  `json:"percent_overlap"` // of the field, 0 to 1, under its conflicts
	Protected   string    `json:"protected"`       // the protected area that it overlaps
	Problems    []string  `json:"problems"`

	Invalid  bool          `json:"-"`
	Polygons [][][]float64 `json:"-"` // polygons, rings, longitudes and latitudes in turn
}

// Partner is the other side of a conflict.
type Partner struct {
	Index    int // among the document's fields, -1 for one that is not
	ID       string
	AltID    string
	Own      bool     // it is the account's, or of the same files
	Hectares *float64 // what both share, nil where not known
}

// MarshalText gives the ID.
func (p Partner) MarshalText() ([]byte, error) { return []byte(p.ID), nil }

// State is how a field stands, and how it is drawn.
type State int

// The states. A field can conflict with own ones and others' at once.
const (
	Clear State = iota
	Own
	Other
	Both
	Invalid
)

var (
	states     = []string{"clear", "own", "other", "both", "invalid"}
	stateNames = []string{"clear", "conflict with own", "conflict with others’", "conflict with both", "invalid"}
)

// String is one word, and Name says it in words.
func (s State) String() string { return states[s] }
func (s State) Name() string   { return stateNames[s] }

// MarshalText gives the word.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Rows are the fields, with what follows from the rest of them.
func (d *Document) Rows() []Field {
	for i := range d.Fields {
		f := &d.Fields[i]
		if f.State = f.state(); f.Hectares != nil {
			f.Acres = new(*f.Hectares * AcresPerHectare)
		}
	}
	return d.Fields
}

// state tells with whose sources a field conflicts. A conflict without a partner
// that is named is another custodian's.
func (f *Field) state() (s State) {
	if f.Invalid {
		return Invalid
	}
	if f.Conflict && len(f.With) == 0 {
		return Other
	}
	for _, p := range f.With {
		if p.Own {
			s |= Own
		} else {
			s |= Other
		}
	}
	return s
}

// Period is the field's time in words.
func (f *Field) Period() string {
	if f.Start == "" && f.End == "" {
		return ""
	}
	return f.Start + " – " + f.End
}

// year is what the map's filter goes by: the reporting year, or the first of
// the period.
func (f *Field) year() string {
	if f.Year != 0 {
		return strconv.Itoa(f.Year)
	}
	return f.Start[:min(4, len(f.Start))]
}

// AcresPerHectare is how many international acres a hectare has.
const AcresPerHectare = 2.4710538146717

// Summary is what the fields come to. What a file cannot tell is nil.
type Summary struct {
	Fields        int      `json:"fields"`
	Hectares      float64  `json:"hectares"`
	Acres         float64  `json:"acres"`
	Clear         int      `json:"clear"`
	Conflict      int      `json:"conflict"`     // fields in conflict
	Own           int      `json:"conflict_own"` // with sources of the same account or files
	Other         *int     `json:"conflict_other"`
	Both          int      `json:"conflict_both"`
	Pairs         int      `json:"pairs"`           // of own fields that conflict
	Shared        float64  `json:"shared_hectares"` // by the pairs
	Overlap       float64  `json:"overlap"`         // the share from which overlaps count
	OverlapPairs  int      `json:"pairs_overlap"`   // those that share as much of one of the two
	Protected     *int     `json:"protected"`
	Invalid       int      `json:"invalid"`
	Countries     []*Count `json:"countries"`
	Methodologies []*Count `json:"methodologies"`
}

// Count is what the fields of one country or methodology come to.
type Count struct {
	Name     string  `json:"name"`
	Fields   int     `json:"fields"`
	Hectares float64 `json:"hectares"`
	Acres    float64 `json:"acres"`
	Conflict int     `json:"conflict"`
}

// Summary adds the fields up.
func (d *Document) Summary() Summary {
	var all Count
	var protected int
	count := map[State]int{}
	countries, methodologies := map[string]*Count{}, map[string]*Count{}
	for i := range d.Rows() {
		f := &d.Fields[i]
		count[f.State]++
		if f.Protected != "" {
			protected++
		}
		all.add(f)
		countIn(countries, f.Country).add(f)
		countIn(methodologies, f.Methodology).add(f)
	}
	others := count[Other] + count[Both]
	s := Summary{
		Fields: all.Fields, Hectares: all.Hectares, Acres: all.Acres, Conflict: all.Conflict, Overlap: d.Overlap,
		Clear: count[Clear], Own: count[Own] + count[Both], Both: count[Both], Invalid: count[Invalid],
		Countries: largestFirst(countries), Methodologies: largestFirst(methodologies),
	}
	if !d.Offline {
		s.Other, s.Protected = &others, &protected
	}
	pairs, _ := d.pairs()
	s.Pairs = len(pairs)
	for _, p := range pairs {
		if max(p.ShareOf(p.A), p.ShareOf(p.B)) >= d.Overlap {
			s.OverlapPairs++
		}
		s.Shared += p.size
	}
	return s
}

func countIn(counts map[string]*Count, name string) *Count {
	if counts[name] == nil {
		counts[name] = &Count{Name: name}
	}
	return counts[name]
}

func (c *Count) add(f *Field) {
	c.Fields++
	if f.Hectares != nil {
		c.Hectares += *f.Hectares
		c.Acres = c.Hectares * AcresPerHectare
	}
	if f.Conflict {
		c.Conflict++
	}
}

func largestFirst(counts map[string]*Count) []*Count {
	return slices.SortedFunc(maps.Values(counts), func(a, b *Count) int {
		return cmp.Or(cmp.Compare(b.Hectares, a.Hectares), cmp.Compare(b.Fields, a.Fields), cmp.Compare(a.Name, b.Name))
	})
}

// pair is a conflict between two sources. B is nil where the other one is not
// among the fields, and then Partner is all that is known of it.
type pair struct {
	Partner
	A, B   *Field
	I, J   int      // their indexes; J is -1 without B
	Shared *float64 // hectares; an upper bound where UpTo
	UpTo   bool
	size   float64 // *Shared, 0 where not known
}

// ShareOf is the part of a field that is shared, 0 where it is not known.
func (p *pair) ShareOf(f *Field) float64 {
	if f == nil || f.Hectares == nil || *f.Hectares <= 0 {
		return 0
	}
	return min(p.size / *f.Hectares, 1)
}

// pairs are the conflicts, each once, those first that share most: with own
// sources, and with other custodians'.
func (d *Document) pairs() (own, others []pair) {
	seen := map[[2]int]bool{}
	for i := range d.Fields {
		a := &d.Fields[i]
		with := a.With
		if a.Conflict && len(with) == 0 {
			with = []Partner{{Index: -1}}
		}
		for _, w := range with {
			p := pair{Partner: w, A: a, I: i, J: w.Index, Shared: w.Hectares}
			if key := [2]int{min(i, w.Index), max(i, w.Index)}; w.Index >= 0 {
				if seen[key] {
					continue
				}
				seen[key], p.B = true, &d.Fields[w.Index]
			}
			if p.Shared == nil && a.Share != nil && a.Hectares != nil {
				most := *a.Share * *a.Hectares
				p.Shared, p.UpTo = &most, true
			}
			if p.Shared != nil {
				p.size = *p.Shared
			}
			if w.Own {
				own = append(own, p)
			} else {
				others = append(others, p)
			}
		}
	}
	for _, list := range [][]pair{own, others} {
		slices.SortStableFunc(list, func(a, b pair) int { return cmp.Compare(b.size, a.size) })
	}
	return own, others
}
