package wire

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Hectares is an area. METI answers it as a JSON number; the older service
// answered a text such as "41.142643914938ha (101.67ac)", which is read too.
// It is written as a number.
type Hectares float64

// ParseHectares reads a number, or the older service's text.
func ParseHectares(text string) (Hectares, error) {
	number, _, _ := strings.Cut(strings.TrimSpace(text), "ha")
	value, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || value-value != 0 { // not a number, or infinite
		return 0, fmt.Errorf("wire: %q is not an area in hectares", text)
	}
	return Hectares(value), nil
}

// UnmarshalJSON reads a JSON number or a JSON string.
func (h *Hectares) UnmarshalJSON(data []byte) error {
	text := string(data)
	if text == "null" {
		return nil
	}
	if len(data) > 0 && data[0] == '"' {
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
	}
	value, err := ParseHectares(text)
	if err != nil {
		return err
	}
	*h = value
	return nil
}
