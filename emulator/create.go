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
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/internal/scan"
	"github.com/meti-go/meti/ledger"
)

// attributes are the members of a request that stand beside the geometry.
type attributes struct {
	Methodology          *string
	SourceType           *string
	AttributeType        []string
	GeometrySource       *string
	Tags                 []string
	StewardID            *string
	ProjectID            *string
	OutcomeReportingYear *int
	AccountID            *string
	CreatedBy            *string
	UpdatedBy            *string
	ConstituentSSIDs     []string
	MeasurementPointID   *string
}

// members names where each attribute is read to.
func (a *attributes) members() map[string]any {
	return map[string]any{
		"methodology":            &a.Methodology,
		"source_type":            &a.SourceType,
		"attribute_type":         &a.AttributeType,
		"geometry_source":        &a.GeometrySource,
		"tags":                   &a.Tags,
		"steward_id":             &a.StewardID,
		"project_id":             &a.ProjectID,
		"outcome_reporting_year": &a.OutcomeReportingYear,
		"account_id":             &a.AccountID,
		"created_by":             &a.CreatedBy,
		"updated_by":             &a.UpdatedBy,
		"constituent_ssids":      &a.ConstituentSSIDs,
		"measurement_point_id":   &a.MeasurementPointID,
	}
}

// maxMethodology is in characters [D].
const maxMethodology = 255

// read takes the attributes out of a request's members and leaves the others
// alone.
func (a *attributes) read(members map[string]json.RawMessage) (faults []fieldError) {
	table := a.members()
	for _, name := range slices.Sorted(maps.Keys(table)) {
		text, ok := members[name]
		if !ok {
			continue
		}
		if err := json.Unmarshal(text, table[name]); err != nil {
			faults = append(faults, fieldError{[]any{"body", name}, "Input has the wrong type: " + typeOf(text), "type_error"})
		}
	}
	if a.Methodology != nil && utf8.RuneCountInString(*a.Methodology) > maxMethodology {
		faults = append(faults, fieldError{[]any{"body", "methodology"}, "String should have at most 255 characters", "string_too_long"})
	}
	return faults
}

func typeOf(value json.RawMessage) string {
	switch value[0] {
	case '"':
		return "string"
	case '{':
		return "object"
	case '[':
		return "array"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	default:
		return "number"
	}
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

func (e *refusal) Error() string { return e.detail }

// readCreation tells the three forms apart: features beside shared attributes,
// one flat source, or a bare FeatureCollection, in that order.
func readCreation(body []byte) (creation, error) {
	collection, rest := scan.Cut(body[scan.SkipSpace(body, 0):], "feature_collection")
	if collection == nil {
		if c, err := readCollection(body, nil); err == nil {
			return c, nil // at once, for what most requests are
		}
	}
	var members map[string]json.RawMessage
	object := json.Unmarshal(rest, &members) == nil && members != nil
	switch {
	case object && collection != nil:
		return readCollection(collection, members, "feature_collection")
	case object && members["type"] == nil && members["features"] == nil && (members["geometry"] != nil || members["alt_id"] != nil):
		return readFlat(members)
	default:
		return readCollection(body, nil)
	}
}

func readCollection(text []byte, members map[string]json.RawMessage, at ...any) (c creation, err error) {
	if faults := c.attributes.read(members); faults != nil {
		return c, &refusal{fields: faults}
	}
	features, problems := ledger.SplitCollection(text)
	if problems.Refused() {
		return c, &refusal{status: http.StatusBadRequest, detail: problems.Err().Error()}
	}
	c.features = features
	c.loc = func(i int, pointer string) []any {
		return append(append(append([]any{"body"}, at...), "features", i), steps(pointer)...)
	}
	return c, nil
}

// readFlat makes a feature of a flat source.
func readFlat(members map[string]json.RawMessage) (c creation, err error) {
	if faults := c.attributes.read(members); faults != nil {
		return c, &refusal{fields: faults}
	}
	properties := make(map[string]json.RawMessage)
	for _, name := range []string{"start_at", "end_at"} {
		if value, ok := members[name]; ok {
			properties[name] = value
		}
	}
	feature := map[string]any{"type": "Feature", "properties": properties}
	if id, ok := members["alt_id"]; ok {
		feature["id"] = id
	}
	if geometry, ok := members["geometry"]; ok {
		feature["geometry"] = geometry
	}
	text, err := json.Marshal(feature)
	if err != nil {
		return c, &refusal{status: http.StatusBadRequest, detail: "The body is not valid JSON"}
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

// judge applies the ledger's rules, on all cores.
func (c creation) judge(st *store, account string) ([]newcomer, error) {
	now := st.options.Now()
	news := make([]newcomer, len(c.features))
	found := make([]ledger.Problems, len(c.features))
	err := parallel(len(news), func(i int) error {
		f, problems := ledger.ParseFeature(c.features[i], ledger.Rules{})
		if problems.Refused() {
			found[i] = problems
			return nil
		}
		var err error
		news[i], err = c.newcomer(f, st, account, rfc3339(now))
		return err
	})
	if err != nil {
		return nil, err
	}
	return news, c.refuse(found)
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
				return &refusal{status: http.StatusBadRequest, detail: fmt.Sprintf(
					"One or more features in the FeatureCollection are invalid or missing required fields: feature %d: %s", i, p.Message)}
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

// document is what never changes of a source as METI answers it. What changes,
// and the geometry, stand in appendSource.
type document struct {
	AltID                string   `json:"alt_id"`
	StartAt              string   `json:"start_at"`
	EndAt                string   `json:"end_at"`
	Country              *string  `json:"country"`
	Hectares             *float64 `json:"hectares"`
	CreatedAt            string   `json:"created_at"`
	CreatedBy            *string  `json:"created_by"`
	UpdatedBy            *string  `json:"updated_by"`
	AccountID            string   `json:"account_id"`
	Methodology          *string  `json:"methodology"`
	SourceType           string   `json:"source_type"`
	AttributeType        []string `json:"attribute_type"`
	GeometrySource       *string  `json:"geometry_source"`
	Tags                 []string `json:"tags"`
	StewardID            *string  `json:"steward_id"`
	ProjectID            *string  `json:"project_id"`
	OutcomeReportingYear *int     `json:"outcome_reporting_year"`
	ConstituentSSIDs     []string `json:"constituent_ssids"`
	MeasurementPointID   *string  `json:"measurement_point_id"`
	UNEPOverlap          *bool    `json:"unep_overlap"`
	PAName               *string  `json:"pa_name"`
	PADesignation        *string  `json:"pa_designation"`
	WDPAID               *string  `json:"wdpaid"`
	H3Indexes            []string `json:"h3_indexes"`
}

// newcomer computes what is stored of a feature.
func (c creation) newcomer(f ledger.Feature, st *store, account, now string) (newcomer, error) {
	a := c.attributes
	n := newcomer{
		Source:     ledger.Source{Shape: f.Shape, Period: f.Period, Country: st.countries().Of(f.Shape)},
		altID:      f.AltID,
		attributes: a,
	}
	d := document{
		AltID:                f.AltID,
		StartAt:              f.Period.Start.String(),
		EndAt:                f.Period.End.String(),
		CreatedAt:            now,
		CreatedBy:            a.CreatedBy,
		UpdatedBy:            a.UpdatedBy,
		AccountID:            account,
		Methodology:          a.Methodology,
		SourceType:           string(gen.SourceTypeField),
		AttributeType:        a.AttributeType,
		GeometrySource:       a.GeometrySource,
		Tags:                 a.Tags,
		StewardID:            a.StewardID,
		ProjectID:            a.ProjectID,
		OutcomeReportingYear: a.OutcomeReportingYear,
		ConstituentSSIDs:     a.ConstituentSSIDs,
		MeasurementPointID:   a.MeasurementPointID,
	}
	if a.SourceType != nil {
		d.SourceType = *a.SourceType
	}
	if n.Country != "" {
		d.Country = &n.Country
	}
	if hectares := f.Shape.Hectares(); hectares-hectares == 0 { // a number, and finite
		d.Hectares = &hectares
	}
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(d); err != nil {
		return n, err
	}
	n.document = bytes.TrimSpace(buffer.Bytes())
	n.document = n.document[1 : len(n.document)-1]
	var err error
	if n.geometry, err = geometryText(f.Geometry); err != nil {
		return n, err
	}
	n.shape, err = f.Shape.MarshalBinary()
	return n, err
}

// geometryText is a geometry without white space, its numbers as they were.
func geometryText(text json.RawMessage) ([]byte, error) {
	if text[0] == '"' { // the ledger takes a string that holds GeoJSON
		var inner string
		if err := json.Unmarshal(text, &inner); err != nil {
			return nil, err
		}
		if err := json.NewDecoder(strings.NewReader(inner)).Decode(&text); err != nil {
			return nil, err
		}
	}
	return scan.AppendCompact(make([]byte, 0, len(text)), text), nil
}

// CreateSources registers sources, all or none.
func (sv *service) CreateSources(w http.ResponseWriter, r *http.Request) {
	answers, err := sv.create(w, r)
	var refused *refusal
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		writeDetail(w, http.StatusRequestEntityTooLarge, "Request body too large")
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

func (sv *service) create(w http.ResponseWriter, r *http.Request) ([][]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, sv.server.options.MaxBody))
	if err != nil {
		if tooLarge := new(http.MaxBytesError); !errors.As(err, &tooLarge) {
			err = &refusal{status: http.StatusBadRequest, detail: "The body cannot be read"}
		}
		return nil, err
	}
	c, err := readCreation(body)
	if err != nil {
		return nil, err
	}
	who := callerOf(r)
	account := who.account
	if asked := c.attributes.AccountID; asked != nil && *asked != account {
		if !who.admin {
			return nil, &refusal{status: http.StatusForbidden, detail: "Only an admin may register for another account"}
		}
		account = *asked
	}
	seen := int64(math.MaxInt64)
	met := metBy(r)
	if met.blind {
		if seen, err = sv.store.newest(); err != nil {
			return nil, err
		}
	}
	news, err := c.judge(sv.store, account)
	if err != nil {
		return nil, err
	}
	if met.blind && !sv.server.sleep(r.Context(), met.lasting) {
		panic(http.ErrAbortHandler)
	}
	return sv.store.register(account, news, seen)
}
