package api

import (
	"bytes"

	"github.com/meti-go/meti/gen"
)

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

// Source is a source as METI answers it: the fields of openapi.yaml, and what
// METI has added since in AdditionalProperties, as the text that was received.
//
// A field that METI did not tell is nil, whether it was absent or null;
// [Source.IsNull] tells the two apart. An empty list is not nil. A value that
// openapi.yaml does not know, of a type such as [Methodology], is kept as it
// is. Texts in Geometry, Geojson and AdditionalProperties are this source's own
// copies: keeping one source keeps nothing of the others.
type Source struct {
	gen.Source
	nulls uint64 // the fields, by their index in the table, that came as null
}

// InConflict reports whether METI said that the source is in conflict. It is
// false where METI did not say; look at Conflict to tell the two apart.
func (s *Source) InConflict() bool { return s.Conflict != nil && *s.Conflict }

// IsNull reports whether METI answered null for the field of this name in
// openapi.yaml, such as "percent_overlap". It is false for a field that was
// absent, and for a name that openapi.yaml does not have.
func (s *Source) IsNull(name string) bool {
	i, known := fieldIndex[name]
	return known && s.nulls>>i&1 != 0
}

// UnmarshalJSON reads a source as [SourcesService.All] does. What s held before
// is forgotten, except that null leaves it as it is.
func (s *Source) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	source, err := readSource(bytes.NewReader(data))
	if err != nil {
		return err
	}
	*s = *source
	return nil
}

// MarshalJSON writes what was read: numbers in geometry and unknown members
// with their own digits, nulls as null, dates as RFC 3339 in UTC. The members
// of openapi.yaml come first, in alphabetical order, then the unknown ones.
func (s Source) MarshalJSON() ([]byte, error) {
	return appendSource(nil, &s)
}
