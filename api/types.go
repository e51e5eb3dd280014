package api

import (
	"time"

	"github.com/meti-go/meti/wire"
)

// Time is a date and time as METI writes it.
type Time = wire.Time

// Date is the start of a day in UTC: a short way to write a period's ends.
func Date(year int, month time.Month, day int) Time { return wire.Date(year, month, day) }
