package api

import (
	"fmt"
	"io"

	"github.com/meti-go/meti/internal/scan"
)

// readSources reads the answer of a listing or a registration.
func readSources(body io.Reader) (sources []*Source, err error) {
	err = streamSources(body, func(source *Source) error {
		sources = append(sources, source)
		return nil
	})
	return sources, err
}

// readSource reads the answer of a look-up.
func readSource(body io.Reader) (*Source, error) {
	s := new(Source)
	if err := scan.Value(body, maxSourceBytes, s, "the answer"); err != nil {
		return nil, err
	}
	return s, nil
}

// streamSources hands out the sources of a JSON array one by one, each as soon
// as it has arrived. The array may be null, which is empty.
//
// JSON that is cut short is an error that wraps [io.ErrUnexpectedEOF]; the
// errors of body and of each are handed back as they are.
func streamSources(body io.Reader, each func(*Source) error) error {
	var s *Source
	return scan.Array(body, maxSourceBytes,
		func(d *scan.Decoder) {
			s = new(Source)
			s.ScanJSON(d)
		},
		func() error { return each(s) },
		func(number int) string {
			if s.ID == "" {
				return fmt.Sprintf("source %d of the answer", number)
			}
			return fmt.Sprintf("source %d of the answer (%s)", number, s.ID)
		})
}
