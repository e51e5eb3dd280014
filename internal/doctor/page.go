package doctor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// MadeByEmulator names the file by which a recording says that no METI answered.
const MadeByEmulator = "MADE-BY-THE-EMULATOR"

// Page writes docs/facts.md: how far each thing in openapi.yaml is known, and
// which facts the recordings, a folder each, have settled.
func Page(openapi []byte, recordings fs.FS) (string, error) {
	s, err := parseSpec(openapi)
	if err != nil {
		return "", err
	}
	facts, verdicts, err := readVerdicts(recordings)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(pageHead)
	row := func(name, place string) {
		tags := s.provenance(place)
		fmt.Fprintf(&b, "| %s | %s | %s |\n", name, known(tags), tags)
	}
	table := func(title string) {
		fmt.Fprintf(&b, "\n## %s\n\n| what | known as | seen in |\n| --- | --- | --- |\n", title)
	}

	table("Operations and their answers")
	operations := s.operations()
	for _, name := range slices.Sorted(maps.Keys(operations)) {
		place := operations[name]
		row("`"+name+"`", place)
		answers, _ := s.at(place + "/responses").(map[string]any)
		for _, status := range slices.Sorted(maps.Keys(answers)) {
			row("`"+name+"` answers "+status, place+"/responses/"+status)
		}
	}
	table("Filters of a listing")
	for _, filter := range s.filters() {
		row("`"+filter+"`", s.filterPlace(filter))
	}
	for _, schema := range []struct{ title, place string }{
		{"Fields of a source", "/components/schemas/Source"},
		{"Fields of a request", inCreate + "/requestBody/content/application~1json/schema"},
	} {
		table(schema.title)
		places := s.members(schema.place)
		for _, name := range slices.Sorted(maps.Keys(places)) {
			row("`"+name+"`", places[name])
		}
	}
	b.WriteString("\n## What `meti doctor --facts` asks\n\n| fact | until now seen in | settled by a recording |\n| --- | --- | --- |\n")
	for _, fact := range facts {
		settled := "not yet"
		if by := verdicts[fact.Name]; len(by) > 0 {
			settled = strings.Join(by, ", ")
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", fact.Name, s.provenance(fact.Place), settled)
	}
	return b.String(), nil
}

const pageHead = `# How far the facts are known

Generated from ` + "`openapi.yaml`" + ` and ` + "`testdata/recorded`" + `; do not edit.

Nobody who builds this can call METI. *Documented* is what a public page says:
the authentication page (A), which wins over everything else, the Endpoints page
(E), the Sandbox page (S). *Observed* is what MillPont's front end (L) or public
database (D) was seen to do. *Standard* is what HTTP, OAuth, GeoJSON or Auth0 lay
down (R). *Older* is what the pages from before Auth0 say (V1). What is not documented is a bet; ` + "`meti doctor --facts`" + `
settles it with your own credentials, and ` + "`--record`" + ` keeps what it saw so that
it can be handed in.
`

// known sorts tags of provenance.
func known(tags string) string {
	list := strings.Split(tags, ", ")
	has := func(some ...string) bool {
		return slices.ContainsFunc(list, func(tag string) bool { return slices.Contains(some, tag) })
	}
	switch {
	case has("A", "E", "S"):
		return "documented"
	case has("L", "D"):
		return "observed"
	case has("R"):
		return "standard"
	case has("V1"):
		return "older"
	}
	return "inferred"
}

// readVerdicts reads which facts are asked, and what recordings of METI say of them.
func readVerdicts(recordings fs.FS) (facts []settled, verdicts map[string][]string, err error) {
	verdicts = map[string][]string{}
	files, err := fs.Glob(recordings, "*/facts.json")
	if err != nil {
		return nil, nil, err
	}
	for _, file := range files {
		text, err := fs.ReadFile(recordings, file)
		if err != nil {
			return nil, nil, err
		}
		var list []settled
		if err := json.Unmarshal(text, &list); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", file, err)
		}
		_, err = fs.Stat(recordings, path.Join(path.Dir(file), MadeByEmulator))
		if emulated := err == nil; !emulated && !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, err
		} else if emulated {
			facts = list
			continue
		}
		for _, fact := range list {
			verdicts[fact.Name] = append(verdicts[fact.Name], fmt.Sprintf("%s (%s)", fact.Verdict, path.Dir(file)))
		}
	}
	return facts, verdicts, nil
}
