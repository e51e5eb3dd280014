package emulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/internal/scan"
	"github.com/meti-go/meti/ledger"
	"golang.org/x/sync/errgroup"
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
func (m members) attributes(account *string, mayName bool) (text []byte, err error) {
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
			text = scan.AppendCompact(append(text, `,"`+field.Name+`":`...), value)
		}
	}
	if faults != nil {
		return nil, &refusal{http.StatusUnprocessableEntity, faults}
	}
	return text, nil
}

// creation is a POST /sources that has been read but not judged.
type creation struct {
	members  members // beside the features
	features []json.RawMessage
	at       string // JSON Pointer from the body to the features; empty for a flat source
}

// readCreation tells the three forms apart: features beside shared attributes,
// one flat source, or a bare FeatureCollection, in that order.
func readCreation(body []byte) (c creation, err error) {
	if !utf8.Valid(body) {
		return c, invalidBody("The body is not UTF-8")
	}
	c.at = "/features"
	m := membersOf(body)
	switch collection := m["feature_collection"]; {
	case collection != nil:
		c.members, body, c.at = m, collection, "/feature_collection/features"
	case m["type"] == nil && m["features"] == nil && (m["geometry"] != nil || m["alt_id"] != nil):
		return flat(m)
	} // other members beside type and features are ignored
	features, problems := ledger.SplitCollection(body)
	if problems.Refused() {
		return c, invalidBody(problems.Err().Error())
	}
	c.features = features
	return c, nil
}

// flat makes a feature of a flat source.
func flat(m members) (c creation, err error) {
	feature := map[string]any{"type": "Feature", "id": m["alt_id"], "geometry": m["geometry"]}
	properties := members{"start_at": m["start_at"], "end_at": m["end_at"]}
	maps.DeleteFunc(properties, func(_ string, value json.RawMessage) bool { return value == nil })
	feature["properties"] = properties
	text, err := json.Marshal(feature)
	if err != nil {
		return c, invalidBody("The body is not valid JSON")
	}
	return creation{members: m, features: []json.RawMessage{text}}, nil
}

// loc says as the framework does where a problem of a feature is in the body.
func (c creation) loc(feature int, pointer string) []any {
	if c.at != "" {
		pointer = fmt.Sprint(c.at, "/", feature, pointer)
	} else if pointer = strings.TrimPrefix(pointer, "/properties"); strings.HasPrefix(pointer, "/id") {
		pointer = "/alt_id"
	}
	loc := []any{"body"}
	for step := range strings.SplitSeq(pointer[1:], "/") {
		if n, err := strconv.Atoi(step); err == nil {
			loc = append(loc, n)
		} else {
			loc = append(loc, strings.NewReplacer("~1", "/", "~0", "~").Replace(step))
		}
	}
	return loc
}

// judge applies the ledger's rules, on all cores, to what an account registers,
// or another one that the body may name. In the sandbox both dates may be left
// out.
func (sv *service) judge(c creation, account string, mayName bool) (news []newcomer, err error) {
	attributes, err := c.members.attributes(&account, mayName)
	if err != nil {
		return nil, err
	}
	news = make([]newcomer, len(c.features))
	found := make([]ledger.Problems, len(c.features))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, feature := range c.features {
		group.Go(func() (err error) {
			f, problems := ledger.ParseFeature(feature, ledger.Rules{})
			if sv.sandbox && problems.Refused() {
				dated := slices.DeleteFunc(slices.Clone(problems), func(p ledger.Problem) bool { return p.Rule == ledger.RuleTimeMissing })
				if len(dated) == len(problems)-2 {
					problems = dated
					sv.server.options.Log.Warn("the ledger would refuse this: start_at and end_at are missing", slog.String("alt_id", f.AltID))
				}
			}
			if found[i] = problems; !problems.Refused() {
				news[i], err = sv.newcomer(f, account, attributes)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return news, c.refuse(found)
}

// refuse turns the ledger's problems into an answer: 400 for GeoJSON that is
// not valid, 422 for what breaks another rule.
func (c creation) refuse(found []ledger.Problems) error {
	var fields []fieldError
	for i, problems := range found {
		for _, p := range problems {
			if !p.Refused() {
				continue
			}
			if !strings.HasPrefix(p.Pointer, "/id") && !strings.HasPrefix(p.Pointer, "/properties") {
				return invalidBody(fmt.Sprintf(
					"One or more features in the FeatureCollection are invalid or missing required fields: feature %d: %s", i, p.Message))
			}
			fields = append(fields, fieldError{c.loc(i, p.Pointer), p.Message, "value_error"})
		}
	}
	if fields == nil {
		return nil
	}
	return &refusal{http.StatusUnprocessableEntity, fields[:min(len(fields), 100)]}
}

// newcomer computes what is stored of a feature. Its document is what never
// changes of the answer; what changes, and the geometry, stand in appendSource.
func (sv *service) newcomer(f ledger.Feature, account string, attributes []byte) (newcomer, error) {
	n := newcomer{
		Source:  ledger.Source{Shape: f.Shape, Period: f.Period, Country: sv.server.countries().Of(f.Shape)},
		account: account, altID: f.AltID,
	}
	d := struct {
		AltID    string   `json:"alt_id"`
		Account  string   `json:"account_id"`
		StartAt  *string  `json:"start_at,omitempty"` // the sandbox takes sources without
		EndAt    *string  `json:"end_at,omitempty"`
		Country  *string  `json:"country"`
		Hectares *float64 `json:"hectares"`
	}{AltID: f.AltID, Account: account}
	if f.Period != (ledger.Period{}) {
		d.StartAt, d.EndAt = new(f.Period.Start.String()), new(f.Period.End.String())
	}
	if n.Country != "" {
		d.Country = &n.Country
	}
	if hectares := f.Shape.Hectares(); !math.IsNaN(hectares) && !math.IsInf(hectares, 0) {
		d.Hectares = &hectares
	}
	text, err := json.Marshal(d)
	n.document = slices.Concat(bytes.TrimSuffix(text, []byte("}")), attributes,
		[]byte(`,"unep_overlap":false,"pa_name":null,"pa_designation":null,"wdpaid":null,"h3_indexes":null}`))
	n.geometry = scan.AppendCompact(make([]byte, 0, len(f.Geometry)), f.Geometry)
	return n, err
}

// CreateSources registers sources, all or none.
func (sv *service) CreateSources(w http.ResponseWriter, r *http.Request) {
	answers, err := sv.create(r)
	sv.answer(w, r, slices.Concat([]byte("["), bytes.Join(answers, []byte(",")), []byte("]")), err)
}

func (sv *service) create(r *http.Request) ([][]byte, error) {
	x := exchangeOf(r)
	c, err := readCreation(x.body)
	if err != nil {
		return nil, err
	}
	seen := []int64{math.MaxInt64}
	if x.met.blind {
		if seen, err = sv.store.ids("SELECT coalesce(max(id), 0) FROM source"); err != nil {
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
