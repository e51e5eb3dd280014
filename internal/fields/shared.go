package fields

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/ledger"
)

// Share gives the attributes that the sources of a file share, once it was read:
// those that stand beside its features, and over them those that are given, such
// as by flags. T is what is sent, such as api.SourceCreateFeatures; the names of
// its members are those that METI is known to take.
func Share[T any](f *File, given T, rules ledger.Rules) (T, ledger.Problems) {
	var known []string
	for _, field := range reflect.VisibleFields(reflect.TypeFor[T]()) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		known = append(known, name)
	}
	var over map[string]any
	_ = remarshal(given, &over) // it is an object
	var problems ledger.Problems
	for _, name := range slices.Sorted(maps.Keys(f.shared)) {
		value, pointer := f.shared[name], "/"+escape(name)
		if over[name] != nil || string(value) == "null" {
			continue
		}
		if !slices.Contains(known, name) {
			problems = append(problems, ledger.NewProblem(ledger.RuleAttribute, pointer, "the member %q is not one that METI is known to take, and would not be sent", name))
		} else if faults := ledger.CheckText(value); faults != nil {
			faults[0].Pointer = pointer
			problems = append(problems, faults...)
		} else if err := remarshal(map[string]json.RawMessage{name: value}, &given); err != nil {
			problem := ledger.NewProblem(ledger.RuleAttribute, pointer, "%s cannot be read: %v", name, err)
			if kind := (*json.UnmarshalTypeError)(nil); errors.As(err, &kind) {
				problem.Message = name + " cannot be read: it is a " + kind.Value + ", and METI takes " + inWords(kind.Type)
			}
			problems = append(problems, problem)
		} else if id := unquoted(value); isUser(name) && uuid.Validate(id) != nil {
			problems = append(problems, ledger.NewProblem(ledger.RuleAttribute, pointer, "%s is %q, and METI takes a UUID", name, id))
		}
	}
	var attributes struct {
		SourceType         string   `json:"source_type"`
		GeometrySource     string   `json:"geometry_source"`
		MeasurementPointID string   `json:"measurement_point_id"`
		ConstituentSSIDs   []string `json:"constituent_ssids"`
	}
	if err := remarshal(given, &attributes); err != nil {
		problems = append(problems, ledger.NewProblem(ledger.RuleAttribute, "", "the attributes cannot be written: %v", err))
	}
	return given, rules.Apply(append(problems, ledger.CheckAttributes(ledger.Attributes(attributes))...))
}

// isUser reports whether an attribute is the UUID of a user. That of an account is
// left to METI, which passes it over where the token decides.
func isUser(name string) bool {
	return name != "account_id" && slices.ContainsFunc(gen.Attributes(), func(a gen.Field) bool { return a.Name == name && a.Type == "uuid" })
}

// inWords names what JSON becomes a type.
func inWords(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Slice:
		return "an array of strings"
	case reflect.Int:
		return "a whole number"
	}
	return "a " + t.String()
}

// remarshal sets what one value holds in another, by the names that both have in
// JSON.
func remarshal(from, to any) error {
	text, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, to)
}
