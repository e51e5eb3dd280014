package api

import (
	"fmt"
	"strconv"
	"time"

	"github.com/meti-go/meti/gen"
	"github.com/meti-go/meti/wire"
)

// The types of openapi.yaml that hold one value, under this package's name; those
// with fields are in types.gen.go.
type (
	Time           = wire.Time          // a date and time as METI writes it
	SSID           = gen.SSID           // a Secure Source ID
	Methodology    = gen.Methodology    // how an outcome is produced; an open set
	SourceType     = gen.SourceType     // what kind of source one is; an open set
	AttributeType  = gen.AttributeType  // what kind of outcome is claimed; an open set
	GeometrySource = gen.GeometrySource // where a boundary comes from; an open set
)

// Date is the start of a day in UTC: a short way to write a period's ends.
func Date(year int, month time.Month, day int) Time { return wire.Date(year, month, day) }

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
