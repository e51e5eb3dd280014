package doctor

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// created is what the first POST registered, in the order of the answer.
type created struct {
	at     time.Time
	source []map[string]any
}

// create registers three features in MillPont's own form, whose ids are in no
// order, and looks at what is answered.
func (a *asking) create() {
	ids := []string{a.stamp + "-2", a.stamp + "-10", a.stamp + "-1"}
	var features []map[string]any
	for n, id := range ids {
		features = append(features, a.feature(id, n))
	}
	got := a.post(map[string]any{
		"feature_collection": collection(features...), "methodology": "Agriculture", "steward_id": a.stamp + "-steward",
		"project_id": a.stamp + "-project", "outcome_reporting_year": 2030, "tags": []string{a.stamp},
	})
	a.hold("POST answers 200", inCreate+"/responses/200", got.status == http.StatusOK, "%d", got.status)
	sources := got.list()
	a.hold("POST answers an array of the created sources", inCreate, len(sources) == len(ids), "%s", shape(got.value))
	if len(sources) == 0 {
		return
	}
	a.first = created{time.Now(), sources}
	var order []string
	for _, source := range sources {
		order = append(order, fmt.Sprint(source["alt_id"]))
	}
	a.hold("POST answers in the order of the request", inCreate, slices.Equal(order, ids), "%s", strings.ReplaceAll(strings.Join(order, " "), a.stamp, "id"))
	one := sources[0]
	id, _ := one["id"].(string)
	a.hold("sandbox ids are sandbox_ and 32 hex digits", inServer, sandboxID.MatchString(id), "%d characters", len(id))
	a.hold("conflict_with is an empty array without a conflict", inSource+"conflict_with", shape(one["conflict_with"]) == "an array of 0", "%s", shape(one["conflict_with"]))
	a.hold("unep_overlap is false outside of protected areas", inSource+"unep_overlap", one["unep_overlap"] == false, "%s", shape(one["unep_overlap"]))
	a.hold("hectares is a number", inSource+"hectares", shape(one["hectares"]) == "a number", "%s", shape(one["hectares"]))
	a.hold("the boundary is answered as a GeoJSON geometry in geometry", inSource+"geometry", kind(one["geometry"]) == "Polygon",
		"geometry: %s, geojson: %s", kind(one["geometry"]), kind(one["geojson"]))
	start, _ := one["start_at"].(string)
	a.hold("dates are answered with a zone", inSource+"start_at", zoned.MatchString(start), "%s", digits.ReplaceAllString(start, "9"))
	a.headers(got.header)
}

var (
	sandboxID = regexp.MustCompile(`^sandbox_[0-9a-f]{32}$`)
	zoned     = regexp.MustCompile(`(Z|[+-]\d\d:?\d\d)$`)
	digits    = regexp.MustCompile(`\d`)
	rates     = regexp.MustCompile(`(?i)rate-?limit|quota`)
	requestID = regexp.MustCompile(`(?i)request-id|correlation-id|trace|^cf-ray$`)
)

// headers looks at the names of an answer's headers.
func (a *asking) headers(header http.Header) {
	named := func(pattern *regexp.Regexp) (names []string) {
		for name := range header {
			if pattern.MatchString(name) {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return names
	}
	limits, ids := named(rates), named(requestID)
	a.hold("answers name no limits of rate", inCreate+"/responses/429", len(limits) == 0, "%s", orNone(limits))
	a.hold("a request id stands in X-Request-Id, if anywhere", inCreate, len(ids) == 0 || slices.Contains(ids, "X-Request-Id"), "%s", orNone(ids))
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// forms posts the other forms of a request.
func (a *asking) forms() {
	many := make([]map[string]any, 101) // more than a common page
	for n := range many {
		many[n] = a.feature(fmt.Sprintf("%s-many-%d", a.stamp, n), 10+n)
	}
	for _, form := range []struct {
		name, where string
		body        map[string]any
	}{
		{"a bare FeatureCollection is taken", "/components/schemas/FeatureCollection", collection(many...)},
		{"a flat source is taken", "/components/schemas/SourceCreate", with(a.flat(a.stamp+"-flat", 4), period())},
		{"the sandbox takes a source without dates", inServer, a.flat(a.stamp+"-undated", 5)},
		{"a member that is not known is let pass", inCreate, with(with(a.flat(a.stamp+"-more", 6), period()), map[string]any{"doctor_asks": true})},
	} {
		got := a.post(form.body)
		a.hold(form.name, form.where, got.ok(), "%d, %s", got.status, shape(got.value))
	}
}

// refusals asks how METI says no.
func (a *asking) refusals() {
	bad := a.feature(a.stamp+"-bad", 7)
	bad["geometry"] = map[string]any{"type": "Polygon", "coordinates": "none"}
	missing := a.feature(a.stamp+"-missing", 8)
	delete(missing, "geometry")
	for _, refusal := range []struct {
		name, where string
		body        any
		status      []int
	}{
		{"bad GeoJSON is 400 or 422", "/components/responses/BadRequest", collection(bad), []int{400, 422}},
		{"a feature without a geometry is 400 or 422", "/components/responses/Unprocessable", collection(missing), []int{400, 422}},
	} {
		got := a.post(refusal.body)
		a.hold(refusal.name, refusal.where, slices.Contains(refusal.status, got.status), "%d", got.status)
		if !got.ok() {
			a.hold(refusal.name+", in a shape that is known", refusal.where, knownError(got.value), "%s", shape(got.value))
		}
	}
	for _, refusal := range []struct{ name, id string }{
		{"a source that does not exist is 404", "sandbox_" + strings.Repeat("0", 32)},
		{"an id that is none is 404", "none"},
	} {
		got := a.get(a.posting, "/sources/"+refusal.id, nil)
		a.hold(refusal.name, inGet+"/responses/404", got.status == http.StatusNotFound && knownError(got.value), "%d, %s", got.status, shape(got.value))
	}
}

// knownError reports whether an error has one of the shapes that openapi.yaml
// knows.
func knownError(value any) bool {
	object, _ := value.(map[string]any)
	switch detail := object["detail"].(type) {
	case string:
		return true
	case []any:
		for _, item := range detail {
			field, _ := item.(map[string]any)
			if field["loc"] == nil || field["msg"] == nil {
				return false
			}
		}
		return true
	}
	_, message := object["message"].(string)
	return message && (object["status"] != nil || object["code"] != nil)
}

// shown asks whether the sandbox shows what was posted, and later, as the last
// thing, whether it still does.
func (a *asking) shown() { a.look("the sandbox shows a source that was posted") }

func (a *asking) later() { a.look("the sandbox still shows it at the end") }

func (a *asking) look(name string) {
	if len(a.first.source) == 0 {
		a.fact(name, inServer, NotSeen, "nothing was registered")
		return
	}
	got := a.get(a.posting, "/sources/"+url.PathEscape(fmt.Sprint(a.first.source[0]["id"])), nil)
	a.hold(name, inServer, got.status == http.StatusOK, "%d after %d seconds", got.status, int(time.Since(a.first.at).Seconds()))
}

// listing asks what the query of a listing does: in the sandbox, or where that
// shows nothing, among at most 1,000 sources of the account.
func (a *asking) listing() {
	base, most := a.posting, mostListed
	list := func(query ...string) ([]map[string]any, answer) {
		values := url.Values{"limit": {fmt.Sprint(most)}}
		for i := 0; i < len(query); i += 2 {
			values.Set(query[i], query[i+1])
		}
		got := a.get(base, "/sources", values)
		return got.list(), got
	}
	all, got := list()
	a.hold("the sandbox lists what was posted", inServer, len(all) >= len(a.first.source) && len(all) > 0, "%d, %s", got.status, shape(got.value))
	if len(all) < 3 && a.reading != "" {
		base, most = a.reading, mostListed*2/5 // twice, and a few more: 1,000 in all
		all, _ = list()
	}
	if len(all) < 3 {
		for _, name := range []string{"limit", "offset", "order", "page", "filters"} {
			a.fact("listing: "+name, inList, NotSeen, "fewer than three sources to look at")
		}
		return
	}
	first, _ := list("limit", "1")
	a.hold("limit is obeyed", "/components/parameters/Limit", len(first) == 1, "limit=1 answers %d", len(first))
	second, _ := list("limit", "2", "offset", "1")
	a.hold("offset is obeyed", "/components/parameters/Offset", same(second, all[1:3]), "limit=2&offset=1 answers %s of the whole", places(second, all))
	again, _ := list()
	a.hold("the order is stable", inList, same(again[:min(len(again), len(all))], all[:min(len(again), len(all))]), "two listings of %d and %d", len(all), len(again))
	const page = "a page may have 1,000 sources"
	if base == a.reading {
		a.fact(page, "/components/parameters/Limit", NotSeen, "production is not asked for so many")
	} else {
		rest, _ := list("offset", fmt.Sprint(len(all)), "limit", "1")
		a.hold(page, "/components/parameters/Limit", len(all) == most || len(rest) == 0, "limit=1000 answers %d, and %d or more follow", len(all), len(rest))
	}
	for _, filter := range a.spec.filters() {
		value := "doctor-none"
		switch {
		case filter == "outcome_reporting_year":
			value = "1901"
		case filter == "account_id":
			value = "00000000-0000-4000-8000-000000000000"
		case filter == "limit" || filter == "offset":
			continue
		}
		some, got := list(filter, value, "limit", "10")
		a.hold(filter+" is obeyed", a.spec.filterPlace(filter), len(some) == 0, "a value that nothing has answers %d, %s", got.status, shape(got.value))
	}
	if len(a.first.source) == 0 || base != a.posting {
		return
	}
	exact, _ := list("alt_id", a.stamp+"-1")
	a.hold("alt_id is compared whole", a.spec.filterPlace("alt_id"), len(exact) == 1, "one of two ids of which one begins the other answers %d", len(exact))
}

func same(some, others []map[string]any) bool {
	return slices.EqualFunc(some, others, func(a, b map[string]any) bool { return a["id"] == b["id"] })
}

// places says which sources of the whole these are.
func places(some, all []map[string]any) string {
	var at []string
	for _, source := range some {
		at = append(at, fmt.Sprint(slices.IndexFunc(all, func(other map[string]any) bool { return other["id"] == source["id"] })))
	}
	return "[" + strings.Join(at, " ") + "]"
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
		var names []string
		for name := range value {
			names = append(names, name)
		}
		slices.Sort(names)
		if len(names) > 8 {
			names = append(names[:8], "…")
		}
		return "an object of " + strings.Join(names, ", ")
	}
	return "no JSON"
}

// kind is the type of a GeoJSON object.
func kind(value any) string {
	object, _ := value.(map[string]any)
	if text, _ := object["type"].(string); text != "" {
		return text
	}
	return shape(value)
}
