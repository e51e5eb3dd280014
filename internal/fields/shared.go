package fields

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

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
	var over map[string]json.RawMessage
	if text, err := json.Marshal(given); err == nil {
		_ = json.Unmarshal(text, &over) // it is an object
	}
	var problems ledger.Problems
	add := func(name, message string) {
		problems = append(problems, ledger.NewProblem(ledger.RuleAttribute, "/"+escape(name), "%s", message))
	}
	for _, name := range slices.Sorted(maps.Keys(f.shared)) {
		value := f.shared[name]
		if string(over[name]) != "" && string(over[name]) != "null" || string(value) == "null" {
			continue
		}
		if !slices.Contains(known, name) {
			add(name, fmt.Sprintf("the member %q is not one that METI is known to take, and would not be sent", name))
			continue
		}
		if faults := ledger.CheckText(value); faults != nil {
			faults[0].Pointer = "/" + escape(name)
			problems = append(problems, faults...)
			continue
		}
		member, err := json.Marshal(map[string]json.RawMessage{name: value})
		if err == nil {
			err = json.Unmarshal(member, &given)
		}
		if kind := (*json.UnmarshalTypeError)(nil); errors.As(err, &kind) {
			err = fmt.Errorf("it is a %s, and METI takes a %s", kind.Value, kind.Type)
		}
		if err != nil {
			add(name, fmt.Sprintf("%s cannot be read: %v", name, err))
		}
	}
	var attributes struct {
		SourceType         string   `json:"source_type"`
		GeometrySource     string   `json:"geometry_source"`
		MeasurementPointID string   `json:"measurement_point_id"`
		ConstituentSSIDs   []string `json:"constituent_ssids"`
	}
	text, err := json.Marshal(given)
	if err == nil {
		err = json.Unmarshal(text, &attributes)
	}
	if err != nil {
		add("", "the attributes cannot be written: "+err.Error())
	}
	return given, rules.Apply(append(problems, ledger.CheckAttributes(ledger.Attributes(attributes))...))
}
