package api

import "github.com/meti-go/meti/gen"

// The types of openapi.yaml that callers meet, under this package's name.
type (
	// SSID is a Secure Source ID.
	SSID = gen.SSID
	// Methodology is how an outcome is produced; an open set.
	Methodology = gen.Methodology
	// SourceType is what kind of source one is; an open set.
	SourceType = gen.SourceType
	// AttributeType is what kind of outcome is claimed; an open set.
	AttributeType = gen.AttributeType
	// GeometrySource is where a boundary comes from; an open set.
	GeometrySource = gen.GeometrySource
	// Feature is one boundary to register, with its period.
	Feature = gen.Feature
	// FeatureProperties is a feature's period.
	FeatureProperties = gen.FeatureProperties
	// FeatureCollection is the boundaries to register.
	FeatureCollection = gen.FeatureCollection
	// SourceCreateFeatures is features beside the attributes that they share.
	SourceCreateFeatures = gen.SourceCreateFeatures
	// SourceCreate is one source to register.
	SourceCreate = gen.SourceCreate
)

// Source is a source as METI answers it: the fields of openapi.yaml, and in
// AdditionalProperties, as the text that was received, what METI has added since
// and what does not fit its field; [gen.Source.HasField] tells the two apart. A
// number where a text was expected fits, and a text that holds a number.
//
// A field that METI did not tell, because it was absent or null, is empty: nil,
// "" or 0. Conflict, UNEPOverlap, Hectares and PercentOverlap are pointers,
// because false and 0 are answers there. An empty list is not nil. A value that
// openapi.yaml does not know, of a type such as [Methodology], is kept as it is.
//
// A Source is written as it was read: the fields that are not empty in
// alphabetical order, dates as RFC 3339 in UTC, then AdditionalProperties; geometry
// and those with their own digits. Texts in Geometry, GeoJSON and
// AdditionalProperties are this source's own copies: keeping one source keeps
// nothing of the others.
type Source struct{ gen.Source }

// InConflict reports whether METI said that the source is in conflict. It is
// false where METI did not say; look at Conflict to tell the two apart.
func (s *Source) InConflict() bool { return s.Conflict != nil && *s.Conflict }
