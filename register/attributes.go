package register

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/meti-go/meti/api"
)

// ask notes which attributes are asked for: those that a source has.
func (j *Job) ask(shared any) error {
	text, err := json.Marshal(shared)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &j.asked); err != nil {
		return err
	}
	for _, name := range []string{"feature_collection", "account_id", "created_by", "updated_by"} {
		delete(j.asked, name)
	}
	j.attributes, err = json.Marshal(j.asked) // in the order of their names
	return err
}

// difference says which attributes that were asked for a source has otherwise.
// One that the answer lacks is no difference.
func (j *Job) difference(s *api.Source) string {
	if len(j.asked) == 0 {
		return ""
	}
	bare := *s
	bare.Geometry, bare.GeoJSON = nil, nil
	text, err := json.Marshal(&bare)
	var theirs map[string]json.RawMessage
	if err != nil || json.Unmarshal(text, &theirs) != nil {
		return ""
	}
	var list []string
	for name, ours := range j.asked {
		if have := theirs[name]; have != nil && string(have) != "null" && !sameValue(ours, have) {
			list = append(list, fmt.Sprintf("%s is %s there and %s here", name, plain(have), plain(ours)))
		}
	}
	slices.Sort(list)
	return strings.Join(list, "; ")
}

// otherAttributes says in which attributes those of an earlier run differ.
func (j *Job) otherAttributes(text string) string {
	var before map[string]json.RawMessage
	_ = json.Unmarshal([]byte(text), &before)
	var list []string
	for name, value := range before {
		if ours := j.asked[name]; ours == nil || !sameValue(ours, value) {
			list = append(list, fmt.Sprintf("%s %s, and this run has %s", name, plain(value), plain(ours)))
		}
	}
	for name, value := range j.asked {
		if before[name] == nil {
			list = append(list, fmt.Sprintf("no %s, and this run has %s", name, plain(value)))
		}
	}
	slices.Sort(list)
	return strings.Join(list, "; ")
}

// plain writes a JSON value for people.
func plain(value json.RawMessage) string {
	var s string
	if json.Unmarshal(value, &s) == nil {
		return s
	}
	var list []string
	if json.Unmarshal(value, &list) == nil {
		return strings.Join(list, ", ")
	}
	return cmp.Or(clip(string(value), 100), "none")
}

// sameValue compares two JSON values, lists as sets.
func sameValue(a, b json.RawMessage) bool {
	var x, y []string
	if json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil {
		slices.Sort(x)
		slices.Sort(y)
		return slices.Equal(slices.Compact(x), slices.Compact(y))
	}
	return string(a) == string(b)
}
