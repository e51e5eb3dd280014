// Package testdata holds example fields, for the demo and for tests.
package testdata

import _ "embed"

// Fields is a GeoJSON FeatureCollection of 26 fields in 14 countries, made up
// in realistic sizes and shapes. Each is valid, and none conflicts with
// another but boerde-schlag-6-new, which overlaps boerde-schlag-6. Each has the
// property "methodology".
//
//go:embed fields.geojson
var Fields []byte
