package api

import (
	"fmt"
	"strconv"
	"time"

	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/wire"
)

// The types of openapi.yaml that callers meet, under this package's name.
type (
	Time                 = wire.Time                // a date and time as METI writes it
	SSID                 = gen.SSID                 // a Secure Source ID
	Methodology          = gen.Methodology          // how an outcome is produced; an open set
	SourceType           = gen.SourceType           // what kind of source one is; an open set
	AttributeType        = gen.AttributeType        // what kind of outcome is claimed; an open set
	GeometrySource       = gen.GeometrySource       // where a boundary comes from; an open set
	Feature              = gen.Feature              // one boundary to register, with its period
	FeatureProperties    = gen.FeatureProperties    // a feature's period
	FeatureCollection    = gen.FeatureCollection    // the boundaries to register
	SourceCreateFeatures = gen.SourceCreateFeatures // features beside the attributes that they share
	SourceCreate         = gen.SourceCreate         // one source to register
)

// Date is the start of a day in UTC: a short way to write a period's ends.
func Date(year int, month time.Month, day int) Time { return wire.Date(year, month, day) }

// Source is a source as METI answers it. Its fields are those of openapi.yaml:
//
//	AccountID            string                     account_id
//	AltID                string                     alt_id
//	AttributeType        []AttributeType            attribute_type
//	Centroid             json.RawMessage            centroid
//	Conflict             *bool                      conflict
//	ConflictWith         []string                   conflict_with
//	ConstituentSSIDs     []string                   constituent_ssids
//	Country              string                     country
//	CreatedAt            Time                       created_at
//	CreatedBy            string                     created_by
//	EncryptedGeometry    string                     encrypted_geometry
//	EndAt                Time                       end_at
//	GeoJSON              json.RawMessage            geojson
//	Geometry             json.RawMessage            geometry
//	GeometrySource       GeometrySource             geometry_source
//	H3Indexes            []string                   h3_indexes
//	Hectares             *wire.Hectares             hectares
//	ID                   string                     id
//	MeasurementPointID   string                     measurement_point_id
//	Methodology          Methodology                methodology
//	OutcomeReportingYear int                        outcome_reporting_year
//	PADesignation        string                     pa_designation
//	PAName               string                     pa_name
//	PercentOverlap       *float64                   percent_overlap
//	ProjectID            string                     project_id
//	SourceType           SourceType                 source_type
//	StartAt              Time                       start_at
//	StewardID            string                     steward_id
//	Tags                 []string                   tags
//	ToDelete             bool                       to_delete
//	UNEPOverlap          *bool                      unep_overlap
//	UpdatedAt            Time                       updated_at
//	UpdatedBy            string                     updated_by
//	WDPAID               string                     wdpaid
//	AdditionalProperties map[string]json.RawMessage what METI has added since
//
// A field that METI did not tell, because it was absent or null, is empty: nil,
// "" or 0. Four are pointers, because false and 0 are answers there. An empty
// list is not nil. A value that openapi.yaml does not know, of a type such as
// [Methodology], is kept as it is. AdditionalProperties also holds what does not
// fit its field, as the text that was received; [gen.Source.HasField] tells the
// two apart. A number where a text was expected fits, and a text that holds a
// number.
//
// A Source is written as it was read: the fields that are not empty in
// alphabetical order, dates as RFC 3339 in UTC, then AdditionalProperties;
// geometry and those with their own digits. Texts in Geometry, GeoJSON and
// AdditionalProperties are this source's own copies: keeping one source keeps
// nothing of the others.
type Source struct{ gen.Source }

// InConflict reports whether METI said that the source is in conflict. It is
// false where METI did not say; look at Conflict to tell the two apart.
func (s *Source) InConflict() bool { return s.Conflict != nil && *s.Conflict }

// String tells a source from others in a line of text: its ids, its period, and
// what METI told of its area and conflicts.
//
//	src_9fKQ2mZr7TbVw "north-40" 2026-01-01 to 2027-01-01, 25.25 ha, in conflict
func (s Source) String() string {
	text := fmt.Sprintf("%s %q %s to %s", s.ID, s.AltID, day(s.StartAt), day(s.EndAt))
	if s.Hectares != nil {
		text += fmt.Sprintf(", %.2f ha", float64(*s.Hectares))
	}
	if s.InConflict() {
		text += ", in conflict"
	}
	return text
}

// day is a date without a time of day, where it is a date.
func day(date Time) string {
	if date.Text() != "" {
		return strconv.Quote(date.Text())
	}
	return date.UTC().Format(time.DateOnly)
}
