package doctor

import (
	_ "embed"
	"encoding/json"
	"errors"
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

// Page writes docs/facts.md: how far each thing in openapi.yaml is known, and
// which facts the recordings, a folder each, have settled.
func Page(openapi []byte, recordings fs.FS) (string, error) {
	ours, err := parseContract(openapi)
	if err != nil {
		return "", err
	}
	places := ours.places()
	facts, verdicts, err := readVerdicts(recordings)
	if err != nil {
		return "", err
	}
	page, err := template.New("").Funcs(template.FuncMap{
		// places gives the places whose names match, by the name's group.
		"places": func(pattern string) (found []Fact) {
			for _, name := range slices.Sorted(maps.Keys(places)) {
				if short := regexp.MustCompile(pattern).FindStringSubmatch(name); short != nil {
					found = append(found, Fact{Name: short[1], Place: places[name]})
				}
			}
			return found
		},
		"facts":      func() []Fact { return facts },
		"verdicts":   func(fact string) string { return strings.Join(verdicts[fact], ", ") },
		"provenance": ours.provenance,
		"known": func(place string) string { // by the best of the tags
			for _, way := range [][2]string{{"documented", "AES"}, {"observed", "LD"}, {"standard", "R"}, {"older", "V"}} {
				if strings.ContainsAny(ours.provenance(place), way[1]) {
					return way[0]
				}
			}
			return "inferred"
		},
	}).Parse(pageTemplate)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	err = page.Execute(&text, nil)
	return text.String(), err
}

// readVerdicts reads which facts are asked, which the emulator's recording says,
// and what recordings of METI say of them.
func readVerdicts(recordings fs.FS) (facts []Fact, verdicts map[string][]string, err error) {
	verdicts = map[string][]string{}
	files, err := fs.Glob(recordings, "*/facts.json")
	for _, file := range files {
		var list []Fact
		text, failed := fs.ReadFile(recordings, file)
		if err = errors.Join(err, failed, json.Unmarshal(text, &list)); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", file, err)
		}
		folder := strings.TrimSuffix(file, "/facts.json")
		if _, err := fs.Stat(recordings, folder+"/"+MadeByEmulator); err == nil {
			facts = list
			continue
		}
		for _, fact := range list {
			verdicts[fact.Name] = append(verdicts[fact.Name], fmt.Sprintf("%s (%s)", fact.Verdict, folder))
		}
	}
	return facts, verdicts, err
}
