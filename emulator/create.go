package emulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
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

// attributes are what stands in a request beside the geometry.
type attributes struct {
	text    []byte  // as JSON members, those of the contract's table in its order
	account *string // account_id
}

// owner is the account that account_id names, or else another.
func (a attributes) owner(otherwise string) (string, error) {
	if a.account == nil {
		return otherwise, nil
	}
	id, err := uuid.Parse(*a.account)
	if err != nil {
		return "", &refusal{fields: []fieldError{notUUID("account_id")}}
	}
	return id.String(), nil
}

func notUUID(name string) fieldError {
	return fieldError{[]any{"body", name}, "Input should be a valid UUID", "uuid_parsing"}
}

// maxMethodology is in characters [D].
const maxMethodology = 255

// attributes takes the contract's attributes out of a request's members and
// leaves the others alone. createdBy is whose profile creates it.
func (m members) attributes(createdBy string) (a attributes, faults []fieldError) {
	for _, field := range gen.Attributes() {
		value := m[field.Name]
		if value == nil {
			value = json.RawMessage("null")
		}
		null := value[0] == 'n'
		switch {
		case !null && !fits(value, field.Type):
			faults = append(faults, fieldError{[]any{"body", field.Name}, "Input has the wrong type: it should be " + field.Type, "type_error"})
			continue
		case field.Name == "account_id": // whose a source is, is the store's to say
			if !null {
				a.account = new(scan.Unquote(value))
			}
			continue
		case field.Name == "methodology" && !null && utf8.RuneCountInString(scan.Unquote(value)) > maxMethodology:
			faults = append(faults, fieldError{[]any{"body", field.Name}, "String should have at most 255 characters", "string_too_long"})
		case field.Name == "source_type" && null:
			value = json.RawMessage(`"` + gen.SourceTypeField + `"`)
		case field.Name == "created_by" && null:
			value = json.RawMessage(`"` + createdBy + `"`)
		case field.Type == "uuid" && !null:
			id, err := uuid.Parse(scan.Unquote(value))
			if err != nil {
				faults = append(faults, notUUID(field.Name))
			}
			value = json.RawMessage(`"` + id.String() + `"`)
		}
		a.text = scan.AppendCompact(append(a.text, `,"`+field.Name+`":`...), value)
	}
	return a, faults
}

// fits reports whether a JSON value is of a type of the contract's table.
func fits(value []byte, kind string) bool {
	to := map[string]any{"integer": new(int), "number": new(float64), "boolean": new(bool), "array": new([]string)}[kind]
	if to == nil {
		to = new(string)
	}
	return json.Unmarshal(value, to) == nil
}

// creation is a POST /sources, read but not judged.
type creation struct {
	attributes attributes
	features   []json.RawMessage
	// loc is the way from the body to the feature, and to a place in it that
	// the ledger points to.
	loc func(feature int, pointer string) []any
}

// refusal is why a request is not carried out.
type refusal struct {
	status int
	detail string
	fields []fieldError // instead of detail, with 422
}

func (e *refusal) Error() string {
	if e.fields != nil {
		return fmt.Sprint(e.fields[0].Loc, ": ", e.fields[0].Msg)
	}
	return e.detail
}

func invalidBody(detail string) error { return &refusal{status: http.StatusBadRequest, detail: detail} }

// readCreation tells the three forms apart: features beside shared attributes,
// one flat source, or a bare FeatureCollection, in that order.
func readCreation(body []byte, createdBy string) (c creation, err error) {
	if !utf8.Valid(body) {
		return c, invalidBody("The body is not UTF-8")
	}
	m := membersOf(body)
	at := []any{"body"}
	switch collection := m["feature_collection"]; {
	case collection != nil:
		body, at = collection, append(at, "feature_collection")
	case m["type"] == nil && m["features"] == nil && (m["geometry"] != nil || m["alt_id"] != nil):
		return readFlat(m, createdBy)
	default: // what stands beside type and features is not looked at
		m = nil
	}
	if c, err = withAttributes(m, createdBy); err != nil {
		return c, err
	}
	features, problems := ledger.SplitCollection(body)
	if problems.Refused() {
		return c, invalidBody(problems.Err().Error())
	}
	c.features = features
	c.loc = func(i int, pointer string) []any {
		return append(append(slices.Clip(at), "features", i), steps(pointer)...)
	}
	return c, nil
}

func withAttributes(m members, createdBy string) (c creation, err error) {
	a, faults := m.attributes(createdBy)
	if faults != nil {
		return c, &refusal{fields: faults}
	}
	c.attributes = a
	return c, nil
}

// readFlat makes a feature of a flat source.
func readFlat(m members, createdBy string) (creation, error) {
	c, err := withAttributes(m, createdBy)
	if err != nil {
		return c, err
	}
	properties := make(members)
	for _, name := range []string{"start_at", "end_at"} {
		if m[name] != nil {
			properties[name] = m[name]
		}
	}
	feature := map[string]any{"type": "Feature", "properties": properties, "geometry": m["geometry"]}
	if m["alt_id"] != nil {
		feature["id"] = m["alt_id"]
	}
	text, err := json.Marshal(feature)
	if err != nil {
		return c, invalidBody("The body is not valid JSON")
	}
	c.features = []json.RawMessage{text}
	c.loc = func(_ int, pointer string) []any {
		way := steps(pointer)
		switch {
		case len(way) > 0 && way[0] == "id":
			way[0] = "alt_id"
		case len(way) > 0 && way[0] == "properties":
			way = way[1:]
		}
		return append([]any{"body"}, way...)
	}
	return c, nil
}

// steps splits a JSON pointer; array indexes become numbers.
func steps(pointer string) (way []any) {
	if pointer == "" {
		return nil
	}
	for step := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if n, err := strconv.Atoi(step); err == nil {
			way = append(way, n)
			continue
		}
		way = append(way, strings.NewReplacer("~1", "/", "~0", "~").Replace(step))
	}
	return way
}

// judge applies the ledger's rules, on all cores. In the sandbox both dates may
// be left out; undated is how many sources leave them out.
func (sv *service) judge(c creation, account string) (news []newcomer, undated int, err error) {
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
				}
			}
			if found[i] = problems; !problems.Refused() {
				news[i], err = c.newcomer(f, account, sv.server.countries().Of(f.Shape))
			}
			return err
		})
	}
	if err = group.Wait(); err == nil {
		err = c.refuse(found)
	}
	for _, n := range news {
		if n.Period == (ledger.Period{}) {
			undated++
		}
	}
	return news, undated, err
}

// refuse turns the ledger's problems into an answer: 400 for GeoJSON that is
// not valid, 422 for what breaks another rule.
func (c creation) refuse(found []ledger.Problems) error {
	const most = 100 // entries in one answer
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
			if len(fields) < most {
				fields = append(fields, fieldError{c.loc(i, p.Pointer), p.Message, "value_error"})
			}
		}
	}
	if fields != nil {
		return &refusal{fields: fields}
	}
	return nil
}

// newcomer computes what is stored of a feature. Its document is what never
// changes of the answer; what changes, and the geometry, stand in appendAnswer.
func (c creation) newcomer(f ledger.Feature, account, country string) (n newcomer, err error) {
	n = newcomer{
		Source:  ledger.Source{Shape: f.Shape, Period: f.Period, Country: country},
		account: account, altID: f.AltID,
	}
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	d := struct {
		AltID    string   `json:"alt_id"`
		StartAt  *string  `json:"start_at,omitempty"`
		EndAt    *string  `json:"end_at,omitempty"`
		Country  *string  `json:"country"`
		Hectares *float64 `json:"hectares"`
		Account  string   `json:"account_id"`
	}{AltID: f.AltID, Account: account}
	if f.Period != (ledger.Period{}) { // the sandbox takes sources without
		d.StartAt, d.EndAt = new(f.Period.Start.String()), new(f.Period.End.String())
	}
	if country != "" {
		d.Country = &country
	}
	if hectares := f.Shape.Hectares(); !math.IsNaN(hectares) && !math.IsInf(hectares, 0) {
		d.Hectares = &hectares
	}
	if err := encoder.Encode(d); err != nil {
		return n, err
	}
	n.document = slices.Concat(bytes.TrimSuffix(buffer.Bytes(), []byte("}\n")), c.attributes.text,
		[]byte(`,"unep_overlap":false,"pa_name":null,"pa_designation":null,"wdpaid":null,"h3_indexes":null}`))
	text := f.Geometry
	if text[0] == '"' { // the ledger takes a string that holds GeoJSON
		text = json.RawMessage(scan.Unquote(text))
	}
	n.geometry = scan.AppendCompact(make([]byte, 0, len(text)), text)
	return n, nil
}

// CreateSources registers sources, all or none.
func (sv *service) CreateSources(w http.ResponseWriter, r *http.Request) {
	answers, err := sv.create(r)
	var refused *refusal
	switch {
	case errors.As(err, &refused) && refused.fields != nil:
		writeFields(w, refused.fields...)
	case errors.As(err, &refused):
		writeDetail(w, refused.status, refused.detail)
	case err != nil:
		sv.fail(w, r, err)
	default:
		writeBytes(w, http.StatusOK, slices.Concat([]byte("["), bytes.Join(answers, []byte(",")), []byte("]")))
	}
}

func (sv *service) create(r *http.Request) ([][]byte, error) {
	x := exchangeOf(r)
	c, err := readCreation(x.body, profile(x.who.account))
	if err != nil {
		return nil, err
	}
	// The token decides the account, whatever the body says [L], but for admins.
	account := x.who.account
	if x.who.admin {
		if account, err = c.attributes.owner(account); err != nil {
			return nil, err
		}
	}
	seen := int64(math.MaxInt64)
	if x.met.blind {
		newest, err := sv.store.ids("SELECT coalesce(max(id), 0) FROM source")
		if err != nil {
			return nil, err
		}
		seen = newest[0]
	}
	news, undated, err := sv.judge(c, account)
	if err != nil {
		return nil, err
	}
	if undated > 0 {
		sv.server.options.Log.Warn("the ledger would refuse this: start_at and end_at are missing", slog.Int("sources", undated))
	}
	if x.met.blind && !sv.server.sleep(r.Context(), x.met.lasting) {
		panic(http.ErrAbortHandler)
	}
	return sv.register(news, seen)
}

// register stores newcomers that see what is stored up to an id.
func (sv *service) register(news []newcomer, seen int64) ([][]byte, error) {
	if sv.sandbox && !sv.server.options.SandboxConflicts {
		seen = -1
	}
	return sv.store.register(news, sv.server.Now, seen)
}
