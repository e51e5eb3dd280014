package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/meti-go/meti/wire"
)

// appendSource writes a source as a JSON object.
func appendSource(to []byte, s *Source) ([]byte, error) {
	if to == nil {
		to = make([]byte, 0, 1<<10+len(s.Geometry)+len(s.Geojson))
	}
	to = append(to, '{')
	for i := range fields {
		start := len(to)
		to = append(to, quotedNames[i]...)
		written := len(to)
		var err error
		if to, err = fields[i].append(to, s); err != nil {
			return nil, fmt.Errorf("api: source %s: %s: %w", s.ID, fields[i].name, err)
		}
		if len(to) == written {
			if s.nulls>>i&1 == 0 {
				to = to[:start]
				continue
			}
			to = append(to, "null"...)
		}
		to = append(to, ',')
	}
	for _, name := range slices.Sorted(maps.Keys(s.AdditionalProperties)) {
		to = append(appendText(to, name), ':')
		var err error
		if to, err = appendRaw(to, s.AdditionalProperties[name]); err != nil {
			return nil, fmt.Errorf("api: source %s: %s: %w", s.ID, name, err)
		}
		to = append(to, ',')
	}
	to[len(to)-1] = '}' // id and alt_id are always written, so there is a comma
	return to, nil
}

// appendText writes a JSON string.
func appendText(to []byte, value string) []byte {
	start := len(to)
	to = append(to, '"')
	for i := range len(value) {
		if c := value[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			quoted, _ := json.Marshal(value) // a string can always be written
			return append(to[:start], quoted...)
		}
	}
	return append(append(to, value...), '"')
}

// appendFloat writes the shortest number that reads back as the same value.
func appendFloat(to []byte, value float64) ([]byte, error) {
	if value-value != 0 {
		return nil, fmt.Errorf("JSON has no number %v", value)
	}
	text, err := json.Marshal(value)
	return append(to, text...), err
}

// appendTime writes RFC 3339 in UTC.
func appendTime(to []byte, value wire.Time) ([]byte, error) {
	text, err := value.MarshalJSON()
	return append(to, text...), err
}

// appendRaw writes JSON as it is, once it has been checked to be JSON.
func appendRaw(to []byte, raw json.RawMessage) ([]byte, error) {
	if err := checkJSON(raw); err != nil {
		return nil, err
	}
	return append(to, raw...), nil
}

// checkJSON checks the grammar of one JSON value.
func checkJSON(raw []byte) error {
	start := skipSpace(raw, 0)
	end, ok := skipValue(raw, start, sourceDepth)
	if ok {
		end = skipSpace(raw, end)
	}
	switch {
	case ok && end == len(raw):
		return nil
	case end < len(raw):
		return fmt.Errorf("broken JSON: unexpected %q at byte %d", raw[end], end)
	}
	return fmt.Errorf("the JSON is cut short after %d bytes", len(raw))
}
