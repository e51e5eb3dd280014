package fields

import (
	"os"

	"github.com/meti-go/meti/ledger"
)

// Shapes keeps boundaries in a temporary file. The zero value is empty; it is for one
// goroutine, but At may be called from many.
type Shapes struct {
	file *os.File
	ends []int64 // where each begins, and the last ends
}

// Add keeps a GeoJSON geometry, whose index is how many were added before.
func (s *Shapes) Add(geometry []byte) (err error) {
	if s.file == nil {
		if s.file, err = temporaryFile(); err != nil {
			return err
		}
		s.ends = []int64{0}
	}
	end := s.ends[len(s.ends)-1]
	s.ends = append(s.ends, end+int64(len(geometry)))
	_, err = s.file.WriteAt(geometry, end)
	return err
}

// At gives its shape.
func (s *Shapes) At(i int) (*ledger.Shape, error) {
	geometry := make([]byte, s.ends[i+1]-s.ends[i])
	if _, err := s.file.ReadAt(geometry, s.ends[i]); err != nil {
		return nil, err
	}
	return ledger.ParseGeometry(geometry)
}

// Close forgets them.
func (s *Shapes) Close() {
	if s.file != nil {
		discardFile(s.file)
	}
	*s = Shapes{}
}
