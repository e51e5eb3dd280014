package doctor

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/template"
)

// MadeByEmulator names the file by which a recording says that no METI answered.
const MadeByEmulator = "MADE-BY-THE-EMULATOR"

//go:embed facts.md.tmpl
var pageTemplate string

// A settled fact is one as a recording has it, without what was seen.
type settled struct {
	Name    string  `json:"name"`
	Place   string  `json:"place"`
	Verdict Verdict `json:"verdict"`
}

// A table says of some places of the contract how far they are known.
type table struct {
	Title string
	Rows  []settled
}

// Page writes docs/facts.md: how far each thing in openapi.yaml is known, and
// which facts the recordings, a folder each, have settled.
func Page(openapi []byte, recordings fs.FS) (string, error) {
	ours, err := parseContract(openapi)
	if err != nil {
		return "", err
	}
	var data struct {
		Tables   []table
		Facts    []settled
		Verdicts map[string][]string // of a fact, with the recordings that say so
	}
	places := ours.places()
	for _, part := range []struct{ title, names string }{
		{"Operations and their answers", `^(\w+ \S+( answers \w+)?)$`},
		{"Filters of a listing", `^GET /sources takes (\w+)$`},
		{"Fields of a source", `^GET /sources tells (\w+)$`},
		{"Fields of a request", `^POST /sources is sent (\w+)$`},
	} {
		t := table{Title: part.title}
		for _, name := range slices.Sorted(maps.Keys(places)) {
			if short := regexp.MustCompile(part.names).FindStringSubmatch(name); short != nil {
				t.Rows = append(t.Rows, settled{Name: short[1], Place: places[name]})
			}
		}
		data.Tables = append(data.Tables, t)
	}
	if data.Facts, data.Verdicts, err = readVerdicts(recordings); err != nil {
		return "", err
	}
	page, err := template.New("").Funcs(template.FuncMap{
		"provenance": ours.provenance, "join": strings.Join,
		"known": func(place string) string { return known(ours.provenance(place)) },
	}).Parse(pageTemplate)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	err = page.Execute(&text, data)
	return text.String(), err
}

// known sorts tags of provenance by the best of them.
func known(tags string) string {
	for _, way := range []struct{ known, tags string }{{"documented", "AES"}, {"observed", "LD"}, {"standard", "R"}, {"older", "V"}} {
		if strings.ContainsAny(tags, way.tags) {
			return way.known
		}
	}
	return "inferred"
}

// verdictsOf is what a recording keeps of facts.
func verdictsOf(facts []Fact) []settled {
	list := []settled{}
	for _, fact := range facts {
		list = append(list, settled{fact.Name, fact.Place, fact.Verdict})
	}
	return list
}

// readVerdicts reads which facts are asked, which the emulator's recording says,
// and what recordings of METI say of them.
func readVerdicts(recordings fs.FS) (facts []settled, verdicts map[string][]string, err error) {
	verdicts = map[string][]string{}
	folders, err := fs.ReadDir(recordings, ".")
	for _, folder := range folders {
		var list []settled
		text, err := fs.ReadFile(recordings, folder.Name()+"/facts.json")
		if err == nil {
			err = json.Unmarshal(text, &list)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", folder.Name(), err)
		}
		if _, err := fs.Stat(recordings, folder.Name()+"/"+MadeByEmulator); err == nil {
			facts = list
			continue
		}
		for _, fact := range list {
			verdicts[fact.Name] = append(verdicts[fact.Name], fmt.Sprintf("%s (%s)", fact.Verdict, folder.Name()))
		}
	}
	return facts, verdicts, err
}
