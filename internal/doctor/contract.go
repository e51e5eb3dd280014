package doctor

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A spec is an OpenAPI document as it stands.
type spec struct{ root map[string]any }

func parseSpec(text []byte) (*spec, error) {
	s := &spec{}
	if err := yaml.Unmarshal(text, &s.root); err != nil { // JSON is YAML
		return nil, err
	}
	return s, nil
}

// at follows a JSON pointer, with the references on the way. Where the way ends
// early, rest is what of it is left.
func (s *spec) at(pointer string) (value any) {
	value = s.root
	for part := range strings.SplitSeq(strings.Trim(pointer, "/"), "/") {
		part = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		switch inside := s.resolve(value).(type) {
		case map[string]any:
			value = inside[part]
		case []any:
			var i int
			if _, err := fmt.Sscan(part, &i); err != nil || i >= len(inside) {
				return nil
			}
			value = inside[i]
		default:
			return nil
		}
	}
	return s.resolve(value)
}

// resolve follows a reference.
func (s *spec) resolve(value any) any {
	for range 10 {
		object, _ := value.(map[string]any)
		reference, is := object["$ref"].(string)
		if !is {
			return value
		}
		value = nil
		if inside, found := strings.CutPrefix(reference, "#/"); found {
			value = s.at(inside)
		}
	}
	return nil
}

// provenance is the x-provenance of a place, or of the nearest one around it.
func (s *spec) provenance(pointer string) string {
	for ; pointer != ""; pointer = pointer[:strings.LastIndex(pointer, "/")] {
		object, _ := s.at(pointer).(map[string]any)
		if tags, is := object["x-provenance"].([]any); is {
			var text []string
			for _, tag := range tags {
				text = append(text, fmt.Sprint(tag))
			}
			return strings.Join(text, ", ")
		}
	}
	return ""
}

// parameters gives the query parameters of an operation by name.
func (s *spec) parameters(operation string) map[string]string {
	all := map[string]string{}
	list, _ := s.at(operation + "/parameters").([]any)
	for i, item := range list {
		parameter, _ := s.resolve(item).(map[string]any)
		if name, _ := parameter["name"].(string); parameter["in"] == "query" {
			all[name] = fmt.Sprintf("%s/parameters/%d", operation, i)
		}
	}
	return all
}

// filters lists the query parameters of a listing.
func (s *spec) filters() []string { return slices.Sorted(maps.Keys(s.parameters(inList))) }

func (s *spec) filterPlace(name string) string { return s.parameters(inList)[name] }

// operations lists methods and paths, those below /sandbox taken for the same.
func (s *spec) operations() map[string]string {
	all := map[string]string{}
	paths, _ := s.root["paths"].(map[string]any)
	for path, item := range paths {
		operations, _ := s.resolve(item).(map[string]any)
		for _, method := range []string{"get", "put", "post", "delete", "patch"} {
			if operations[method] != nil {
				short := strings.TrimRight(strings.TrimPrefix(path, "/sandbox"), "/")
				all[strings.ToUpper(method)+" "+short] = "/paths/" + strings.ReplaceAll(path, "/", "~1") + "/" + method
			}
		}
	}
	return all
}

// members gives the places of a schema's members by name: of the object that it
// is, of its alternatives, and where it is an array, of the array's items.
func (s *spec) members(pointer string) map[string]string {
	to := map[string]string{}
	s.collect(pointer, to)
	return to
}

func (s *spec) collect(pointer string, to map[string]string) {
	schema, _ := s.at(pointer).(map[string]any)
	inside, _ := schema["properties"].(map[string]any)
	for name := range inside {
		to[name] = pointer + "/properties/" + name
	}
	for _, word := range []string{"oneOf", "anyOf", "allOf"} {
		alternatives, _ := schema[word].([]any)
		for i := range alternatives {
			s.collect(fmt.Sprintf("%s/%s/%d", pointer, word, i), to)
		}
	}
	if schema["items"] != nil {
		s.collect(pointer+"/items", to)
	}
}

// differences says what of a service's own contract, as far as it is about
// sources, is not in ours, and the other way round.
func (s *spec) differences(other *spec) (found []string) {
	compare := func(what string, ours, theirs []string) {
		for _, name := range theirs {
			if !slices.Contains(ours, name) {
				found = append(found, fmt.Sprintf("%s %s is not in openapi.yaml", what, name))
			}
		}
		for _, name := range ours {
			if !slices.Contains(theirs, name) {
				found = append(found, fmt.Sprintf("%s %s is in openapi.yaml alone", what, name))
			}
		}
	}
	about := func(operations map[string]string) (names []string) {
		for name := range operations {
			if strings.Contains(name, "/sources") {
				names = append(names, anyParameter.Replace(name))
			}
		}
		slices.Sort(names)
		return names
	}
	ours, theirs := s.operations(), other.operations()
	compare("operation", about(ours), about(theirs))
	for name, place := range ours {
		there, both := theirs[name]
		if !both || !strings.Contains(name, "/sources") {
			continue
		}
		compare(name+": the parameter", slices.Sorted(maps.Keys(s.parameters(place))), slices.Sorted(maps.Keys(other.parameters(there))))
		const content = "/content/application~1json/schema"
		for _, part := range []struct{ what, pointer string }{
			{": the answer's field", "/responses/200" + content}, {": the request's field", "/requestBody" + content},
		} {
			mine, its := s.members(place+part.pointer), other.members(there+part.pointer)
			if len(its) > 0 {
				compare(name+part.what, slices.Sorted(maps.Keys(mine)), slices.Sorted(maps.Keys(its)))
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// anyParameter lets {id} and {source_id} be one.
var anyParameter = strings.NewReplacer("{id}", "{source_id}", "{ssid}", "{source_id}")

// contract asks the service for its own contract, which frameworks such as
// FastAPI tell, and compares it.
func (a *asking) contract() {
	const name = "openapi.json, where the service tells it, says what openapi.yaml says"
	base := a.reading
	if base == "" {
		base = strings.TrimSuffix(a.posting, "/sandbox")
	}
	got := a.get(base, contractPath, nil)
	theirs := &spec{}
	theirs.root, _ = got.value.(map[string]any)
	if got.status != 200 || theirs.root["paths"] == nil {
		a.fact(name, "/paths", NotSeen, "%d, %s", got.status, shape(got.value))
		return
	}
	found := a.spec.differences(theirs)
	seen := "no difference"
	if len(found) > 0 {
		seen = strings.Join(found, "; ")
	}
	a.hold(name, "/paths", len(found) == 0, "%s", seen)
}
