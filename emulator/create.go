package emulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/ledger"
	"github.com/meti-go/meti/ledger/countries"
)

// members are those of a JSON object, each as it stands; of equal names the last.
type members map[string]json.RawMessage

// membersOf reads an object; nil if text is none.
func membersOf(text []byte) (m members) {
	_ = json.Unmarshal(text, &m)
	return m
}

// creation is a registration that has been read.
type creation struct {
	members  members // beside the features
	features []ledger.Feature
	problems ledger.Problems
	at       string // JSON Pointer from the body to the collection
	flat     bool   // one source, and no collection
}

// readCreation tells the three forms apart: features beside shared attributes,
// one flat source, or a bare FeatureCollection, in that order.
func readCreation(body []byte) (c creation) {
	m := membersOf(body)
	if wrapped := m["feature_collection"]; wrapped != nil {
		c.members, c.at, body = m, "/feature_collection", wrapped
	} else if m["type"] == nil && m["features"] == nil && (m["geometry"] != nil || m["alt_id"] != nil) && utf8.Valid(body) {
		return flat(m)
	}
	c.features, c.problems = ledger.ParseCollection(body, ledger.Rules{}) // other members beside them are ignored
	return c
}

// flat is a creation of one source.
func flat(m members) creation {
	f, problems := ledger.JudgeValues(ledger.Values{ID: m["alt_id"], Start: m["start_at"], End: m["end_at"], Geometry: m["geometry"]}, ledger.Rules{})
	return creation{members: m, features: []ledger.Feature{f}, problems: problems, flat: true}
}

// judge applies the ledger's rules to what an account registers, or another one
// that the body may name. In the sandbox both dates may be left out of a flat
// source.
func (sv *service) judge(read func() creation, account string, mayName bool) (news []*source, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = refuse(http.StatusBadRequest, fmt.Sprint("The sources cannot be judged: ", fault))
		}
	}()
	c := read()
	attributes, err := c.members.attributes(&account, mayName)
	if err != nil {
		return nil, err
	}
	if sv.sandbox && c.flat && c.members["start_at"] == nil && c.members["end_at"] == nil {
		c.problems = slices.DeleteFunc(c.problems, func(p ledger.Problem) bool { return p.Rule == ledger.RuleTimeMissing })
		sv.server.options.Log.Warn("the ledger would refuse this: a source without dates", "alt_id", c.features[0].AltID)
	}
	if c.problems.Refused() {
		return nil, c.refuse()
	}
	for _, f := range c.features {
		news = append(news, sv.newcomer(f, account, attributes))
	}
	return news, nil
}

// ofValue is the pointer of a problem with a value of a feature.
var ofValue = regexp.MustCompile(`^(/features/\d+)?(/id|/properties/\w+)$`)

// refuse turns the ledger's problems into an answer: 422 for values that break a
// rule, and 400 for GeoJSON that is not valid.
func (c creation) refuse() error {
	var fields []fieldError
	for _, p := range c.problems {
		switch steps := strings.Split(p.Pointer, "/"); {
		case !p.Refused():
		case ofValue.MatchString(p.Pointer):
			fields = append(fields, fieldError{c.loc(p.Pointer), p.Message, "value_error"})
		case len(steps) > 2 && !c.flat: // /features/0
			return refuse(http.StatusBadRequest, "One or more features in the FeatureCollection are invalid or missing required fields: feature "+steps[2]+": "+p.Message)
		default:
			return refuse(http.StatusBadRequest, p.Message)
		}
	}
	return refuse(http.StatusUnprocessableEntity, fields[:min(len(fields), 100)])
}

// loc says as the framework does where in the body a problem is.
func (c creation) loc(pointer string) []any {
	if c.flat {
		pointer = strings.NewReplacer("/properties", "", "/id", "/alt_id").Replace(pointer)
	}
	loc := []any{"body"}
	for step := range strings.SplitSeq((c.at + pointer)[1:], "/") {
		if n, err := strconv.Atoi(step); err == nil {
			loc = append(loc, n)
		} else {
			loc = append(loc, step)
		}
	}
	return loc
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
		case !given:
			defaults := map[string]any{"source_type": gen.SourceTypeField, "created_by": profile(*account)}
			value, _ = json.Marshal(defaults[field.Name]) // null if there is none
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
		taken[field.Name] = value
	}
	if faults != nil {
		return nil, refuse(http.StatusUnprocessableEntity, faults)
	}
	delete(taken, "account_id")
	return taken, nil
}

// newcomer computes what is stored of a feature. Its document is what never
// changes of the answer; answer.sql adds what changes, and the geometry.
func (sv *service) newcomer(f ledger.Feature, account string, attributes members) *source {
	table := sv.server.options.Countries
	if table == nil {
		table = countries.World() // unpacked when it is first asked for
	}
	n := &source{
		Source:  ledger.Source{Shape: f.Shape, Period: f.Period, Country: table.Of(f.Shape)},
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
	_ = json.Compact(&geometry, f.Geometry)
	n.document, n.geometry = strings.TrimSpace(text.String()), geometry.String()
	return n
}

// seed registers [Options.Sources] in a store that never had a source, a
// thousand at a time.
func (s *Server) seed() error {
	ever, err := values[int64](s.production, "SELECT seq FROM sqlite_sequence")
	if err != nil || len(ever) > 0 {
		return err
	}
	sv, number := &service{server: s}, 0
	started := func() time.Time { return s.clockAt } // the same in each run
	var batch []*source
	for _, r := range s.options.Sources {
		for m, err := range sourcesOf(r) {
			number++
			var news []*source
			if err == nil {
				news, err = sv.judge(func() creation { return flat(m) }, s.Accounts()[0].AccountID, true)
			}
			if batch = append(batch, news...); err == nil && len(batch) >= 1000 {
				_, err = s.production.register(batch, started, math.MaxInt64)
				batch = nil
			}
			if err != nil {
				return fmt.Errorf("emulator: sources: source %d: %w", number, err)
			}
		}
	}
	_, err = s.production.register(batch, started, math.MaxInt64)
	return err
}

// sourcesOf reads the sources of a file, as flat ones: Features, whose properties
// say the rest, in collections or not, and what METI answers.
func sourcesOf(r io.Reader) iter.Seq2[members, error] {
	return func(yield func(members, error) bool) {
		for decoder := json.NewDecoder(r); ; {
			var value json.RawMessage
			if err := decoder.Decode(&value); err != nil {
				if !errors.Is(err, io.EOF) {
					yield(nil, err)
				}
				return
			}
			var collection struct{ Features []json.RawMessage }
			if json.Unmarshal(value, &collection) != nil || collection.Features == nil {
				collection.Features = []json.RawMessage{value}
			}
			for _, one := range collection.Features {
				if !yield(flattened(membersOf(one)), nil) {
					return
				}
			}
		}
	}
}

// flattened gives a source as a flat one.
func flattened(m members) members {
	if properties := membersOf(m["properties"]); properties != nil {
		properties["alt_id"], properties["geometry"] = m["id"], m["geometry"]
		m = properties
	}
	if m["geometry"] == nil && m["geojson"] != nil {
		m["geometry"] = m["geojson"]
	}
	if inner := membersOf(m["geometry"])["geometry"]; inner != nil { // a whole Feature [D]
		m["geometry"] = inner
	}
	return m
}
