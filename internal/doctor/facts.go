package doctor

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/internal/safehttp"
)

// The places in openapi.yaml that say how far a fact is known, JSON pointers.
const (
	inCreate  = "/paths/~1sources/post"
	inList    = "/paths/~1sources/get"
	inMissing = "/paths/~1sources~1{source_id}/get/responses/404"
	inSource  = "/components/schemas/Source/properties/"
	inSandbox = "/servers/2"
)

// fact notes what is known now, unless nothing was answered.
func (a *asking) fact(name, place string, verdict Verdict, seen string, args ...any) {
	if a.err == nil {
		a.facts = append(a.facts, Fact{name, a.ours.provenance(place), verdict, safehttp.Line(fmt.Sprintf(seen, args...), 2000), place})
	}
}

// expect notes whether a fact holds.
func (a *asking) expect(name, place string, holds bool, seen string, args ...any) {
	a.fact(name, place, map[bool]Verdict{true: Holds, false: Differs}[holds], seen, args...)
}

// ask asks everything.
func (a *asking) ask() {
	a.askContract()
	registered, at := a.askCreate()
	const schemas, answers = "/components/schemas/", "/components/responses/"
	for _, one := range []struct {
		name, place, body string
		status            []int
	}{
		{"a bare FeatureCollection is taken", schemas + "FeatureCollection", collection(a.many()), []int{200, 201}},
		{"a flat source is taken", schemas + "SourceCreate", a.flat("flat", period), []int{200, 201}},
		{"the sandbox takes a source without dates", inSandbox, a.flat("undated", ""), []int{200, 201}},
		{"a member that is not known is let pass", inCreate, a.flat("more", period+`, "doctor_asks": true`), []int{200, 201}},
		{"bad GeoJSON is 400 or 422", answers + "BadRequest", collection(a.feature("bad", `{"type": "Polygon", "coordinates": "none"}`)), []int{400, 422}},
		{"a feature without a geometry is 400 or 422", answers + "Unprocessable", collection(a.feature("missing", "")), []int{400, 422}},
	} {
		got := a.post(one.body)
		a.expect(one.name, one.place, slices.Contains(one.status, got.status), "%s", got)
		if one.status[0] >= 400 && got.status/100 != 2 {
			a.expect(one.name+", in a shape that is known", one.place, isKnownError(got.value), "%s", shape(got.value))
		}
	}
	for _, missing := range [][2]string{{"a source that does not exist is 404", "sandbox_" + strings.Repeat("0", 32)}, {"an id that is none is 404", "none"}} {
		got := a.get(a.posting, "/sources/"+missing[1])
		a.expect(missing[0], inMissing, got.status == http.StatusNotFound && isKnownError(got.value), "%s", got)
	}
	isShown := func(name string) {
		if len(registered) == 0 {
			a.fact(name, inSandbox, NotSeen, "nothing was registered")
			return
		}
		got := a.get(a.posting, "/sources/"+url.PathEscape(safehttp.Text(registered[0]["id"])))
		a.expect(name, inSandbox, got.status == http.StatusOK, "%d after %.0f seconds", got.status, time.Since(at).Seconds())
	}
	isShown("the sandbox shows a source that was posted")
	a.askList(len(registered))
	isShown("the sandbox still shows it at the end")
}

// askContract asks the service for its own contract, which frameworks such as
// FastAPI tell.
func (a *asking) askContract() {
	const name = "openapi.json, where the service tells it, says what openapi.yaml says"
	got := a.get(strings.TrimSuffix(a.posting, "/sandbox"), contractPath)
	theirs, _ := got.value.(map[string]any)
	if got.status != http.StatusOK || theirs["paths"] == nil {
		a.fact(name, "/paths", NotSeen, "%s", got)
		return
	}
	found := a.ours.differences(theirs)
	a.expect(name, "/paths", len(found) == 0, "%s", orNone(found))
}

var (
	sandboxID = regexp.MustCompile(`^sandbox_[0-9a-f]{32}$`)
	zoned     = regexp.MustCompile(`(Z|[+-]\d\d:?\d\d)$`)
	digit     = regexp.MustCompile(`\d`)
	rate      = regexp.MustCompile(`(?i)rate-?limit|quota`)
	requestID = regexp.MustCompile(`(?i)request-id|correlation-id|trace|^cf-ray$`)
)

// askCreate registers three features in MillPont's own form, whose ids are in no
// order, and gives what was answered, and when.
func (a *asking) askCreate() (registered []map[string]any, at time.Time) {
	order := []string{a.stamp + "-2", a.stamp + "-10", a.stamp + "-1"}
	got := a.post(fmt.Sprintf(`{"feature_collection": %s, "methodology": "Agriculture", "steward_id": "%[2]s-steward",
		"project_id": "%[2]s-project", "outcome_reporting_year": 2030, "tags": ["%[2]s"]}`,
		collection(a.feature("2", square(0)), a.feature("10", square(1)), a.feature("1", square(2))), a.stamp))
	registered, at = got.sources(), time.Now()
	a.expect("POST answers 200", inCreate+"/responses/200", got.status == http.StatusOK, "%d", got.status)
	a.expect("POST answers an array of the created sources", inCreate, len(registered) == len(order), "%s", shape(got.value))
	if len(registered) == 0 {
		return nil, at
	}
	answered := got.texts("alt_id")
	a.expect("POST answers in the order of the request", inCreate, slices.Equal(answered, order), "%s", strings.ReplaceAll(strings.Join(answered, " "), a.stamp, "id"))
	one := registered[0]
	a.expect("sandbox ids are sandbox_ and 32 hex digits", inSandbox, sandboxID.MatchString(safehttp.Text(one["id"])), "%d characters", len(safehttp.Text(one["id"])))
	for _, field := range []struct{ fact, name, shape string }{
		{"conflict_with is an empty array without a conflict", "conflict_with", "an array of 0"},
		{"unep_overlap is false outside of protected areas", "unep_overlap", "false"},
		{"hectares is a number", "hectares", "a number"},
	} {
		a.expect(field.fact, inSource+field.name, shape(one[field.name]) == field.shape, "%s", shape(one[field.name]))
	}
	geometry, _ := one["geometry"].(map[string]any)
	a.expect("the boundary is answered as a GeoJSON geometry in geometry", inSource+"geometry", geometry["type"] == "Polygon",
		"geometry: %s, geojson: %s", shape(one["geometry"]), shape(one["geojson"]))
	a.expect("dates are answered with a zone", inSource+"start_at", zoned.MatchString(safehttp.Text(one["start_at"])), "%s", digit.ReplaceAllString(safehttp.Text(one["start_at"]), "9"))

	names := func(pattern *regexp.Regexp) []string {
		return slices.DeleteFunc(slices.Sorted(maps.Keys(got.header)), func(name string) bool { return !pattern.MatchString(name) })
	}
	limits, ids := names(rate), names(requestID)
	a.expect("answers name no limits of rate", inCreate+"/responses/429", len(limits) == 0, "%s", orNone(limits))
	a.expect("a request id stands in X-Request-Id, if anywhere", inCreate, len(ids) == 0 || slices.Contains(ids, "X-Request-Id"), "%s", orNone(ids))
	return registered, at
}

// askList asks what the query of a listing does: in the sandbox, or where that
// shows nothing, among at most 1,000 sources of the account.
func (a *asking) askList(registered int) {
	base, most := a.posting, mostListed
	list := func(query string, args ...any) ([]string, answer) {
		got := a.get(base, "/sources?"+fmt.Sprintf(query, args...))
		return got.texts("id"), got
	}
	all, got := list("limit=%d", most)
	a.expect("the sandbox lists what was posted", inSandbox, len(all) >= max(1, registered), "%s", got)
	if len(all) < 3 && a.reading != "" {
		base, most = a.reading, mostListed*2/5 // twice, and a few more: 1,000 in all
		all, _ = list("limit=%d", most)
	}
	if len(all) < 3 {
		a.fact("a listing obeys its query", inList, NotSeen, "fewer than three sources to look at")
		return
	}
	places := a.ours.places()
	first, _ := list("limit=1")
	a.expect("limit is obeyed", places["GET /sources takes limit"], len(first) == 1, "limit=1 answers %d", len(first))
	second, _ := list("limit=2&offset=1")
	var at []int
	for _, id := range second {
		at = append(at, slices.Index(all, id))
	}
	a.expect("offset is obeyed", places["GET /sources takes offset"], slices.Equal(second, all[1:3]), "limit=2&offset=1 answers %v of the whole", at)
	again, _ := list("limit=%d", most)
	common := min(len(again), len(all)) // others may register meanwhile
	a.expect("the order is stable", inList, slices.Equal(again[:common], all[:common]), "two listings of %d and %d", len(all), len(again))
	for _, filter := range gen.Filters() {
		nothing := map[string]string{"integer": "1901", "uuid": "00000000-0000-4000-8000-000000000000", "string": "doctor-none"}[filter.Type]
		some, got := list("limit=10&%s=%s", filter.Name, nothing)
		a.expect(filter.Name+" is obeyed", places["GET /sources takes "+filter.Name], len(some) == 0, "a value that nothing has answers %s", got)
	}
	const largest = "a page may have 1,000 sources"
	if base == a.reading {
		a.fact(largest, places["GET /sources takes limit"], NotSeen, "production is not asked for so many")
		return
	}
	rest, _ := list("limit=1&offset=%d", len(all))
	a.expect(largest, places["GET /sources takes limit"], len(all) == most || len(rest) == 0, "limit=1000 answers %d, and %d or more follow", len(all), len(rest))
	exact, _ := list("limit=1000&alt_id=%s-1", a.stamp)
	a.expect("alt_id is compared whole", places["GET /sources takes alt_id"], len(exact) == 1, "one of two ids of which one begins the other answers %d", len(exact))
}

// The open sea, in no country, where nothing conflicts: in the South Pacific,
// some 2,600 km from the nearest land. Each square has sides of about 100 m.
const seaWest, seaSouth, seaSide = -123.4, -48.9, 0.001 // degrees

// square is the n-th boundary.
func square(n int) string {
	degrees := func(from float64, sides int) float64 { return math.Round((from+float64(sides)*seaSide)*1e6) / 1e6 }
	return fmt.Sprintf(`{"type": "Polygon", "coordinates": [[[%[1]v, %[2]v], [%[3]v, %[2]v], [%[3]v, %[4]v], [%[1]v, %[4]v], [%[1]v, %[2]v]]]}`,
		degrees(seaWest, 2*n), degrees(seaSouth, 0), degrees(seaWest, 2*n+1), degrees(seaSouth, 1))
}

const period = `"start_at": "2030-01-01T00:00:00Z", "end_at": "2031-01-01T00:00:00Z"`

// feature has no geometry where that is empty.
func (a *asking) feature(id, geometry string) string {
	if geometry != "" {
		geometry = `, "geometry": ` + geometry
	}
	return fmt.Sprintf(`{"type": "Feature", "id": "%s-%s", "properties": {%s}%s}`, a.stamp, id, period, geometry)
}

// many are more features than a common page has.
func (a *asking) many() string {
	var features []string
	for n := range 101 {
		features = append(features, a.feature(fmt.Sprint("many-", n), square(10+n)))
	}
	return strings.Join(features, ", ")
}

func collection(features ...string) string {
	return `{"type": "FeatureCollection", "features": [` + strings.Join(features, ", ") + `]}`
}

func (a *asking) flat(id, more string) string {
	if more != "" {
		more = ", " + more
	}
	return fmt.Sprintf(`{"alt_id": "%s-%s", "methodology": "Agriculture", "geometry": %s%s}`, a.stamp, id, square(3), more)
}

// isKnownError reports whether an error has one of the shapes that openapi.yaml
// knows.
func isKnownError(value any) bool {
	object, _ := value.(map[string]any)
	switch detail := object["detail"].(type) {
	case string:
		return true
	case []any:
		return !slices.ContainsFunc(detail, func(item any) bool {
			field, _ := item.(map[string]any)
			return field["loc"] == nil || field["msg"] == nil
		})
	}
	_, message := object["message"].(string)
	return message && (object["status"] != nil || object["code"] != nil)
}

// shape says what a value is without telling it.
func shape(value any) string {
	switch value := value.(type) {
	case nil:
		return "null or absent"
	case bool:
		return fmt.Sprint(value)
	case json.Number:
		return "a number"
	case string:
		return "a text"
	case []any:
		return fmt.Sprintf("an array of %d", len(value))
	case map[string]any:
		names := slices.Sorted(maps.Keys(value))
		if len(names) > 8 {
			names = append(names[:8], "…")
		}
		return "an object of " + strings.Join(names, ", ")
	}
	return "no JSON"
}
