package api_test

import (
	"encoding/json"
	"fmt"

	"github.com/peterstace/simplefeatures/geom"

	"github.com/meti-go/meti/api"
)

const field = `{"id":"src_9fKQ2mZr7TbVw","geometry":{"type":"Polygon","coordinates":[[[-93.6,42.03],[-93.59,42.03],[-93.59,42.04],[-93.6,42.04],[-93.6,42.03]]]}}`

func ExampleSource_Polygons() {
	var source api.Source
	if err := json.Unmarshal([]byte(field), &source); err != nil {
		panic(err)
	}
	polygons, err := source.Polygons()
	if err != nil {
		panic(err)
	}
	for _, position := range polygons[0][0] {
		fmt.Println(position[0], position[1])
	}
	// Output:
	// -93.6 42.03
	// -93.59 42.03
	// -93.59 42.04
	// -93.6 42.04
	// -93.6 42.03
}

// simplefeatures takes a ring's coordinates one after the other, without
// copying them.
func ExampleRing_XY() {
	var source api.Source
	if err := json.Unmarshal([]byte(field), &source); err != nil {
		panic(err)
	}
	polygons, err := source.Polygons()
	if err != nil {
		panic(err)
	}
	var rings []geom.LineString
	for _, ring := range polygons[0] {
		rings = append(rings, geom.NewLineString(geom.NewSequence(ring.XY(), geom.DimXY)))
	}
	fmt.Println(geom.NewPolygon(rings).AsText())
	// Output:
	// POLYGON((-93.6 42.03,-93.59 42.03,-93.59 42.04,-93.6 42.04,-93.6 42.03))
}
