// Package report makes a document of an account's fields, or of a file's: what
// they come to, which of them conflict, and where they lie. It knows nothing of
// METI's API and computes no geometry; its rows say what was found.
package report

import (
	"cmp"
	"iter"
	"slices"
	"time"
)

// Document is what a report shows.
type Document struct {
	Title string    // of whom: an account, or the name of a file
	From  string    // where the rows come from, such as "METI production, account 7f…"
	Made  time.Time // when
	// Offline says that the rows come from files, judged by themselves: whether
	// other custodians' sources or protected areas lie there is not known.
	Offline bool
	// Overlap is the share of a field, 0 to 1, from which an overlap is counted
	// as more than a matter of drawing.
	Overlap float64
	Fields  []Field
	// World yields the polygons of the countries behind the map, each as rings
	// of longitudes and latitudes in turn.
	World iter.Seq2[string, [][]float64]
}

// Field is one row.
type Field struct {
	ID          string // the SSID, or where a feature stands in its file
	AltID       string
	Country     string
	Start, End  string // the period, as people write it
	Methodology string
	Year        int      // the outcome reporting year, 0 for none
	Hectares    *float64 // nil where not known
	Conflict    bool
	With        []Partner // what it conflicts with
	Share       *float64  // of the field, 0 to 1, under its conflicts
	Protected   string    // the protected area that it overlaps
	Invalid     bool
	Problems    []string
	Polygons    [][][]float64 // polygons, rings, longitudes and latitudes in turn
}

// Partner is the other side of a conflict.
type Partner struct {
	Index    int // among the document's fields, -1 for one that is not
	ID       string
	AltID    string
	Own      bool     // it is the account's, or of the same files
	Hectares *float64 // what both share, nil where not known
}

// own and other say with whose sources a field conflicts. A conflict without a
// partner that is named is another custodian's.
func (f *Field) own() bool {
	return slices.ContainsFunc(f.With, func(p Partner) bool { return p.Own })
}

func (f *Field) other() bool {
	return f.Conflict && (len(f.With) == 0 || slices.ContainsFunc(f.With, func(p Partner) bool { return !p.Own }))
}

// A State is how a field is drawn.
type state int

const (
	clear state = iota
	own
	other
	both
	invalid
)

func (f *Field) state() state {
	switch {
	case f.Invalid:
		return invalid
	case f.own() && f.other():
		return both
	case f.own():
		return own
	case f.other():
		return other
	}
	return clear
}

// State is the field's state: clear, own, other, both or invalid.
func (f *Field) State() string { return states[f.state()] }

// StateName is the state in words.
func (f *Field) StateName() string { return stateNames[f.state()] }

var (
	states     = [...]string{"clear", "own", "other", "both", "invalid"}
	stateNames = [...]string{"clear", "conflict with own", "conflict with others’", "conflict with both", "invalid"}
)

// year is what the map's filter goes by: the reporting year, or the first of
// the period.
func (f *Field) year() string {
	if f.Year != 0 {
		return digits(f.Year)
	}
	return f.Start[:min(4, len(f.Start))]
}

// said reports whether there is more to say of a field than that it is there.
func (f *Field) said() bool {
	return f.Conflict || f.Invalid || f.Protected != "" || len(f.Problems) > 0
}

// AcresPerHectare is how many international acres a hectare has.
const AcresPerHectare = 2.4710538146717

// Summary is what the fields come to.
type Summary struct {
	Fields   int     `json:"fields"`
	Hectares float64 `json:"hectares"`
	Acres    float64 `json:"acres"`
	Clear    int     `json:"clear"`
	Conflict int     `json:"conflict"`     // fields in conflict
	Own      int     `json:"conflict_own"` // with sources of the same account or files
	Other    *int    `json:"conflict_other"`
	Both     int     `json:"conflict_both"`
	Pairs    int     `json:"pairs"` // of own fields that conflict
	// Overlap is the share from which overlaps are counted, and OverlapPairs how
	// many pairs cover as much of one of the two, or more.
	Overlap       float64 `json:"overlap"`
	OverlapPairs  int     `json:"pairs_overlap"`
	Shared        float64 `json:"shared_hectares"` // by the pairs
	Protected     *int    `json:"protected"`
	Invalid       int     `json:"invalid"`
	Countries     []Count `json:"countries"`
	Methodologies []Count `json:"methodologies"`
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
	s := Summary{Fields: len(d.Fields), Overlap: d.Overlap}
	var others, protected int
	countries, methodologies := map[string]*Count{}, map[string]*Count{}
	for i := range d.Fields {
		f := &d.Fields[i]
		var hectares float64
		if f.Hectares != nil {
			hectares = *f.Hectares
		}
		s.Hectares += hectares
		add(countries, f.Country, hectares, f.Conflict)
		add(methodologies, f.Methodology, hectares, f.Conflict)
		switch f.state() {
		case clear:
			s.Clear++
		case invalid:
			s.Invalid++
		}
		if f.Conflict {
			s.Conflict++
		}
		if f.own() {
			s.Own++
		}
		if f.other() {
			others++
		}
		if f.own() && f.other() {
			s.Both++
		}
		if f.Protected != "" {
			protected++
		}
	}
	if !d.Offline {
		s.Other, s.Protected = &others, &protected
	}
	for _, p := range d.pairs() {
		if !p.Own {
			continue
		}
		s.Pairs++
		if p.Most() >= d.Overlap {
			s.OverlapPairs++
		}
		if p.Shared != nil {
			s.Shared += *p.Shared
		}
	}
	s.Acres = s.Hectares * AcresPerHectare
	s.Countries, s.Methodologies = counts(countries), counts(methodologies)
	return s
}

func add(to map[string]*Count, name string, hectares float64, conflict bool) {
	c := to[name]
	if c == nil {
		c = &Count{Name: name}
		to[name] = c
	}
	c.Fields++
	c.Hectares += hectares
	c.Acres = c.Hectares * AcresPerHectare
	if conflict {
		c.Conflict++
	}
}

// counts puts the largest first.
func counts(of map[string]*Count) []Count {
	list := make([]Count, 0, len(of))
	for _, c := range of {
		list = append(list, *c)
	}
	slices.SortFunc(list, func(a, b Count) int {
		return cmp.Or(cmp.Compare(b.Hectares, a.Hectares), cmp.Compare(b.Fields, a.Fields), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// pair is a conflict between two sources. B is nil where the other one is not
// among the fields, and then Partner is all that is known of it.
type pair struct {
	A, B   *Field
	I, J   int // their indexes; J is -1 without B
	Own    bool
	Shared *float64 // hectares; an upper bound where UpTo
	UpTo   bool
	Partner
}

// ShareOf is the part of a field that is shared, 0 where it is not known.
func (p *pair) ShareOf(f *Field) float64 {
	if f == nil || p.Shared == nil || f.Hectares == nil || *f.Hectares <= 0 {
		return 0
	}
	return min(*p.Shared / *f.Hectares, 1)
}

// Most is the larger of both shares.
func (p *pair) Most() float64 { return max(p.ShareOf(p.A), p.ShareOf(p.B)) }

// pairs are the conflicts, each once: the own ones first, and of these the ones
// that share most.
func (d *Document) pairs() []pair {
	var list []pair
	seen := map[[2]int]bool{}
	for i := range d.Fields {
		a := &d.Fields[i]
		with := a.With
		if a.Conflict && len(with) == 0 {
			with = []Partner{{Index: -1}}
		}
		for _, w := range with {
			p := pair{A: a, I: i, J: w.Index, Own: w.Own, Shared: w.Hectares, Partner: w}
			if w.Index >= 0 {
				key := [2]int{min(i, w.Index), max(i, w.Index)}
				if seen[key] {
					continue
				}
				seen[key] = true
				p.B = &d.Fields[w.Index]
			}
			if p.Shared == nil && a.Share != nil && a.Hectares != nil {
				most := *a.Share * *a.Hectares
				p.Shared, p.UpTo = &most, true
			}
			list = append(list, p)
		}
	}
	slices.SortStableFunc(list, func(a, b pair) int {
		return cmp.Or(-compareBool(a.Own, b.Own), -cmp.Compare(a.size(), b.size()))
	})
	return list
}

func (p *pair) size() float64 {
	if p.Shared == nil {
		return -1
	}
	return *p.Shared
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
