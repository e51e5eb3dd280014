package authn

import (
	"fmt"
	"io"

	"github.com/meti-go/meti/internal/safehttp"
)

// Secret is a client secret that does not print: fmt with any verb, slog and
// encoding/json all show "[redacted]". Convert it with string(s) to read it.
//
// fmt cannot call methods on an unexported field of somebody else's struct:
// keep a Secret in an exported field, or behind a pointer, when the struct
// around it is ever printed.
type Secret string

// String returns "[redacted]", or nothing for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return safehttp.Redacted
}

// Format writes what [Secret.String] returns, whatever the verb: %x and %q
// would otherwise show the text.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText writes what [Secret.String] returns, for encoding/json and slog.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
