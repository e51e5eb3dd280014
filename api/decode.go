package api

import (
	"encoding/json"
	"io"
)

// readSources reads the answer of a listing or a registration.
func readSources(body io.Reader) (sources []*Source, err error) {
	err = json.NewDecoder(body).Decode(&sources)
	return sources, err
}

// readSource reads the answer of a look-up.
func readSource(body io.Reader) (*Source, error) {
	source := new(Source)
	return source, json.NewDecoder(body).Decode(source)
}
