package emulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/internal/scan"
	"github.com/meti-go/meti/ledger"
)

// refusal is why a request is not carried out.
type refusal struct {
	status int
	detail any // a text, or a list of fieldError
}

func (e *refusal) Error() string { return fmt.Sprint(e.detail) }

// fieldError is one entry of {"detail": […]} under 422, the framework's
// validation error [L].
type fieldError struct {
	Loc  []any  `json:"loc"` // "body" or "query", then names and indexes
	Msg  string `json:"msg"`
	Type string `json:"type"`
}

func invalidBody(detail string) error { return &refusal{http.StatusBadRequest, detail} }

func invalidQuery(name, message, kind string) error {
	return &refusal{http.StatusUnprocessableEntity, []fieldError{{[]any{"query", name}, message, kind}}}
}

// members are those of a JSON object, each as it stands; of equal names the last.
type members map[string]json.RawMessage

// membersOf reads an object; nil if text is none.
func membersOf(text []byte) members {
	m := make(members)
	end, ok := scan.Members(text, func(name, value []byte) bool {
		m[string(name)] = value
		return true
	})
	if !ok || scan.SkipSpace(text, end) < len(text) {
		return nil
	}
	return m
}

// attributes takes the contract's attributes out of the members, checks them,
// and gives them as they stand. account_id is left out: where it may name
// another account it changes that.
func (m members) attributes(account *string, mayName bool) (members, error) {
	taken := make(members)
	var faults []fieldError
	for _, field := range gen.Attributes() {
		value := m[field.Name]
		given := value != nil && value[0] != 'n'
		to := map[string]any{"integer": new(int), "number": new(float64), "boolean": new(bool), "array": new([]string), "string": new(string), "uuid": new(string)}[field.Type]
		fault := func(message, kind string) {
			faults = append(faults, fieldError{[]any{"body", field.Name}, message, kind})
		}
		switch {
		case given && json.Unmarshal(value, to) != nil:
			fault("Input has the wrong type: it should be "+field.Type, "type_error")
		case field.Name == "account_id" && !mayName: // the token's account decides [L]
		case field.Name == "source_type" && !given:
			value = json.RawMessage(`"` + gen.SourceTypeField + `"`)
		case field.Name == "created_by" && !given:
			value = json.RawMessage(`"` + profile(*account) + `"`)
		case !given:
			value = json.RawMessage("null")
		case field.Name == "methodology" && utf8.RuneCountInString(*to.(*string)) > 255: // [D]
			fault("String should have at most 255 characters", "string_too_long")
		case field.Type == "uuid":
			id, err := uuid.Parse(*to.(*string))
			if err != nil {
				fault("Input should be a valid UUID", "uuid_parsing")
			}
			value = json.RawMessage(`"` + id.String() + `"`)
			if field.Name == "account_id" {
				*account = id.String()
			}
		}
		if field.Name != "account_id" {
			taken[field.Name] = value
		}
	}
	if faults != nil {
		return nil, &refusal{http.StatusUnprocessableEntity, faults}
	}
	return taken, nil
}

// creation is a POST /sources that has been read but not judged.
type creation struct {
	members    members // beside the features
	collection []byte  // the features, or a flat source made one
	flat       bool
	at         string // JSON Pointer from the body to the collection
}

// readCreation tells the three forms apart: features beside shared attributes,
// one flat source, or a bare FeatureCollection, in that order.
func readCreation(body []byte) (c creation, err error) {
	if !utf8.Valid(body) {
		return c, invalidBody("The body is not UTF-8")
	}
	m := membersOf(body)
	switch wrapped := m["feature_collection"]; {
	case wrapped != nil:
		return creation{members: m, collection: wrapped, at: "/feature_collection"}, nil
	case m["type"] == nil && m["features"] == nil && (m["geometry"] != nil || m["alt_id"] != nil):
		return flat(m)
	default: // other members beside type and features are ignored
		return creation{collection: body}, nil
	}
}

// flat makes a collection of a flat source.
func flat(m members) (creation, error) {
	collection, err := json.Marshal(map[string]any{"type": "FeatureCollection", "features": []any{map[string]any{
		"type": "Feature", "id": m["alt_id"], "geometry": m["geometry"], // null is as good as nothing
		"properties": members{"start_at": m["start_at"], "end_at": m["end_at"]},
	}}})
	if err != nil {
		return creation{}, invalidBody("The body is not valid JSON")
	}
	return creation{members: m, collection: collection, flat: true}, nil
}

// judge applies the ledger's rules to what an account registers, or another one
// that the body may name. In the sandbox both dates may be left out.
func (sv *service) judge(c creation, account string, mayName bool) (news []newcomer, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = invalidBody(fmt.Sprint("The sources cannot be judged: ", fault))
		}
	}()
	attributes, err := c.members.attributes(&account, mayName)
	if err != nil {
		return nil, err
	}
	features, problems := ledger.ParseCollection(c.collection, ledger.Rules{})
	if sv.sandbox {
		problems = sv.allowUndated(problems)
	}
	if problems.Refused() {
		return nil, c.refuse(problems)
	}
	for _, f := range features {
		news = append(news, sv.newcomer(f, account, attributes))
	}
	return news, nil
}

// allowUndated leaves out the problems of features that have neither date.
func (sv *service) allowUndated(problems ledger.Problems) ledger.Problems {
	missing := make(map[string]int) // dates, by the properties that lack them
	for _, p := range problems {
		if p.Rule == ledger.RuleTimeMissing {
			missing[path.Dir(p.Pointer)]++
		}
	}
	return slices.DeleteFunc(problems, func(p ledger.Problem) bool {
		allow := p.Rule == ledger.RuleTimeMissing && missing[path.Dir(p.Pointer)] == 2
		if allow {
			sv.server.options.Log.Warn("the ledger would refuse this: "+p.Message, "pointer", p.Pointer)
		}
		return allow
	})
}

// refuse turns the ledger's problems into an answer: 400 for GeoJSON that is
// not valid, 422 for what breaks another rule.
func (c creation) refuse(problems ledger.Problems) error {
	var fields []fieldError
	for _, p := range problems {
		steps := strings.SplitN(p.Pointer, "/", 5) // of /features/0/properties/end_at
		switch {
		case !p.Refused():
		case len(steps) < 3:
			return invalidBody(p.Message)
		case len(steps) > 3 && (steps[3] == "id" || steps[3] == "properties"):
			fields = append(fields, fieldError{c.loc(p.Pointer), p.Message, "value_error"})
		default:
			return invalidBody("One or more features in the FeatureCollection are invalid or missing required fields: feature " + steps[2] + ": " + p.Message)
		}
	}
	return &refusal{http.StatusUnprocessableEntity, fields[:min(len(fields), 100)]}
}

// loc says as the framework does where in the body a problem is.
func (c creation) loc(pointer string) []any {
	if c.flat {
		pointer = strings.NewReplacer("/features/0", "", "/properties", "", "/id", "/alt_id").Replace(pointer)
	}
	loc := []any{"body"}
	for step := range strings.SplitSeq((c.at + pointer)[1:], "/") {
		if n, err := strconv.Atoi(step); err == nil {
			loc = append(loc, n)
		} else {
			loc = append(loc, strings.NewReplacer("~1", "/", "~0", "~").Replace(step))
		}
	}
	return loc
}

// newcomer computes what is stored of a feature. Its document is what never
// changes of the answer; answer.sql adds what changes, and the geometry.
func (sv *service) newcomer(f ledger.Feature, account string, attributes members) newcomer {
	n := newcomer{
		Source:  ledger.Source{Shape: f.Shape, Period: f.Period, Country: sv.server.countries().Of(f.Shape)},
		account: account, altID: f.AltID,
	}
	document := map[string]any{
		"alt_id": f.AltID, "account_id": account, "country": nil, "hectares": nil,
		"unep_overlap": false, "pa_name": nil, "pa_designation": nil, "wdpaid": nil, "h3_indexes": nil,
	}
	if f.Period != (ledger.Period{}) { // the sandbox takes sources without
		document["start_at"], document["end_at"] = f.Period.Start, f.Period.End
	}
	if n.Country != "" {
		document["country"] = n.Country
	}
	if hectares := f.Shape.Hectares(); !math.IsNaN(hectares) && !math.IsInf(hectares, 0) {
		document["hectares"] = hectares
	}
	for name, value := range attributes {
		document[name] = value
	}
	var text, geometry bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // what was sent stays as it is
	_ = encoder.Encode(document) // it is made of what can be written
	n.document = bytes.TrimSpace(text.Bytes())
	_ = json.Compact(&geometry, f.Geometry) // it has been read before
	n.geometry = geometry.Bytes()
	return n
}

// CreateSources registers sources, all or none.
func (sv *service) CreateSources(w http.ResponseWriter, r *http.Request) {
	answers, err := sv.create(r)
	sv.answer(w, r, []byte("["+strings.Join(answers, ",")+"]"), err)
}

func (sv *service) create(r *http.Request) ([]string, error) {
	x := exchangeOf(r)
	c, err := readCreation(x.body)
	if err != nil {
		return nil, err
	}
	seen := []int64{math.MaxInt64}
	if x.met.blind {
		if seen, err = values[int64](sv.store, "SELECT coalesce(max(id), 0) FROM source"); err != nil {
			return nil, err
		}
	}
	news, err := sv.judge(c, x.who.AccountID, x.who.Role == admin)
	if err != nil {
		return nil, err
	}
	if x.met.blind && !sv.server.sleep(r.Context(), x.met.lasting) {
		panic(http.ErrAbortHandler)
	}
	if sv.sandbox && !sv.server.options.SandboxConflicts {
		seen[0] = -1
	}
	return sv.store.register(news, sv.server.Now, seen[0])
}

// seed registers [Options.Sources] in a store that never had a source, a
// thousand at a time.
func (s *Server) seed() error {
	ever, err := values[int64](s.production, "SELECT seq FROM sqlite_sequence")
	if err != nil || len(ever) > 0 {
		return err
	}
	sv := &service{server: s, store: s.production}
	number := 0
	var batch []newcomer
	for _, r := range s.options.Sources {
		err := eachSource(r, func(source []byte) error {
			number++
			news, err := sv.readSource(membersOf(source))
			if err != nil {
				return fmt.Errorf("source %d: %w", number, err)
			}
			if batch = append(batch, news...); len(batch) >= 1000 {
				_, err = s.production.register(batch, s.Now, math.MaxInt64)
				batch = nil
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("emulator: sources: %w", err)
		}
	}
	_, err = s.production.register(batch, s.Now, math.MaxInt64)
	return err
}

// eachSource calls do for the features of collections, and for other objects.
func eachSource(r io.Reader, do func(source []byte) error) error {
	for decoder := json.NewDecoder(r); ; {
		var value json.RawMessage
		if err := decoder.Decode(&value); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var collection struct{ Features []json.RawMessage }
		if json.Unmarshal(value, &collection) != nil || collection.Features == nil {
			collection.Features = []json.RawMessage{value}
		}
		for _, source := range collection.Features {
			if err := do(source); err != nil {
				return err
			}
		}
	}
}

// readSource judges a source of a file: a Feature, whose properties say the
// rest, or a source as METI answers it.
func (sv *service) readSource(m members) ([]newcomer, error) {
	if properties := membersOf(m["properties"]); properties != nil {
		maps.Copy(properties, members{"alt_id": m["id"], "geometry": m["geometry"]})
		m = properties
	}
	if m["geometry"] == nil && m["geojson"] != nil {
		m["geometry"] = m["geojson"]
	}
	if inner := membersOf(m["geometry"])["geometry"]; inner != nil { // a whole Feature [D]
		m["geometry"] = inner
	}
	first, _ := sv.server.account("")
	c, err := flat(m)
	if err != nil {
		return nil, err
	}
	return sv.judge(c, first.AccountID, true)
}
