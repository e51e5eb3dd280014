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

// simplefeatures, as other libraries, reads the boundary itself.
func ExampleSource_Boundary() {
	var source api.Source
	if err := json.Unmarshal([]byte(field), &source); err != nil {
		panic(err)
	}
	boundary, err := geom.UnmarshalGeoJSON(source.Boundary())
	if err != nil {
		panic(err)
	}
	fmt.Println(boundary.AsText())
	// Output:
	// POLYGON((-93.6 42.03,-93.59 42.03,-93.59 42.04,-93.6 42.04,-93.6 42.03))
}
