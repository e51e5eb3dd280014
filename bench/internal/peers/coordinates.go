package main

import (
	"bytes"
	"errors"
	"strconv"
)

// coordinates is the parser that one writes beside a JSON library that leaves
// geometry raw: Polygons only, positions into one array, numbers by strconv.
func coordinates(geometry []byte) ([][2]float64, error) {
	i := bytes.Index(geometry, []byte(`"coordinates":[`))
	if i < 0 {
		return nil, errors.New("no coordinates")
	}
	b := geometry[i+len(`"coordinates":[`):]
	positions := make([][2]float64, 0, bytes.Count(b, []byte{'['}))
	for i := 0; i < len(b); i++ {
		if b[i] != '[' || i+1 < len(b) && b[i+1] == '[' {
			continue
		}
		var position [2]float64
		for axis := range position {
			i++
			start := i
			for i < len(b) && b[i] != ',' && b[i] != ']' {
				i++
			}
			value, err := strconv.ParseFloat(string(b[start:i]), 64)
			if err != nil {
				return nil, err
			}
			position[axis] = value
		}
		positions = append(positions, position)
	}
	return positions, nil
}
