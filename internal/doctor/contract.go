package doctor

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A contract is an OpenAPI document as it stands.
type contract map[string]any

func parseContract(text []byte) (contract, error) {
	var root map[string]any
	err := yaml.Unmarshal(text, &root)
	return root, err
}

// at gives what stands at a JSON pointer. It follows the references on the way, ten
// of them, for they may lead in a circle.
func (c contract) at(pointer string) any { return c.follow(pointer, 10) }

func (c contract) follow(pointer string, references int) (value any) {
	value = map[string]any(c)
	for step := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		switch inside := value.(type) {
		case map[string]any:
			value = inside[strings.NewReplacer("~1", "/", "~0", "~").Replace(step)]
		case []any:
			value = nil
			if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(inside) {
				value = inside[i]
			}
		}
		object, _ := value.(map[string]any)
		if reference, is := object["$ref"].(string); is {
			if references == 0 {
				return nil
			}
			value = c.follow(strings.TrimPrefix(reference, "#"), references-1)
		}
	}
	return value
}

// provenance is the x-provenance of a place, or of the nearest one around it.
func (c contract) provenance(pointer string) string {
	for ; pointer != ""; pointer = pointer[:strings.LastIndex(pointer, "/")] {
		object, _ := c.at(pointer).(map[string]any)
		if tags, is := object["x-provenance"].([]any); is {
			return strings.Trim(strings.ReplaceAll(fmt.Sprint(tags), " ", ", "), "[]")
		}
	}
	return ""
}

var parameterOfPath = regexp.MustCompile(`\{\w+\}`)

// places gives where each thing stands that the contract says of its operations,
// by its name: "GET /sources", "GET /sources answers 200", "GET /sources takes
// limit", "POST /sources is sent alt_id", "POST /sources tells hectares". Those
// below /sandbox are taken for the same.
func (c contract) places() map[string]string {
	all := map[string]string{}
	paths, _ := c["paths"].(map[string]any)
	for path := range paths {
		item, _ := c.at("/paths/" + strings.ReplaceAll(path, "/", "~1")).(map[string]any)
		for _, method := range []string{"get", "put", "post", "delete", "patch"} {
			if item[method] == nil {
				continue
			}
			place := "/paths/" + strings.ReplaceAll(path, "/", "~1") + "/" + method
			short := strings.TrimRight(strings.TrimPrefix(path, "/sandbox"), "/")
			name := strings.ToUpper(method) + " " + parameterOfPath.ReplaceAllString(short, "{source_id}")
			all[name] = place
			answers, _ := c.at(place + "/responses").(map[string]any)
			for status := range answers {
				all[name+" answers "+status] = place + "/responses/" + status
			}
			parameters, _ := c.at(place + "/parameters").([]any)
			for i := range parameters {
				at := fmt.Sprintf("%s/parameters/%d", place, i)
				if parameter, _ := c.at(at).(map[string]any); parameter["in"] == "query" {
					all[fmt.Sprint(name, " takes ", parameter["name"])] = at
				}
			}
			const schema = "/content/application~1json/schema"
			c.fields(name+" is sent ", place+"/requestBody"+schema, all)
			c.fields(name+" tells ", place+"/responses/200"+schema, all)
		}
	}
	return all
}

// fields adds where a schema's fields stand, by their names behind a prefix: of the
// object that it is, of its alternatives, and where it is an array, of what is in
// it.
func (c contract) fields(prefix, pointer string, to map[string]string) {
	schema, _ := c.at(pointer).(map[string]any)
	if schema == nil || len(pointer) > 200 { // one that is within itself
		return
	}
	properties, _ := schema["properties"].(map[string]any)
	for name := range properties {
		to[prefix+name] = pointer + "/properties/" + name
	}
	for _, word := range []string{"oneOf", "anyOf", "allOf"} {
		alternatives, _ := schema[word].([]any)
		for i := range alternatives {
			c.fields(prefix, fmt.Sprintf("%s/%s/%d", pointer, word, i), to)
		}
	}
	c.fields(prefix, pointer+"/items", to)
}

// differences says what of a service's own contract, as far as it is about
// sources, is not in ours, and the other way round. Parameters and fields are
// compared where both tell any; frameworks do not tell all statuses.
func (c contract) differences(other contract) (found []string) {
	compare := func(some, others map[string]string, verdict string) {
		names := slices.Sorted(maps.Keys(others))
		for name := range some {
			kind := name[:strings.LastIndex(name, " ")+1]
			first, _ := slices.BinarySearch(names, kind)
			told := first < len(names) && strings.HasPrefix(names[first], kind) || strings.Count(kind, " ") == 1
			if _, both := others[name]; !both && told && strings.Contains(name, "/sources") && !strings.Contains(name, " answers ") {
				found = append(found, name+verdict)
			}
		}
	}
	ours, theirs := c.places(), other.places()
	compare(theirs, ours, " is not in openapi.yaml")
	compare(ours, theirs, " is in openapi.yaml alone")
	slices.Sort(found)
	return found
}
