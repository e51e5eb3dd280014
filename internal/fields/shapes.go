package fields

import (
	"os"

	"github.com/meti-go/meti/ledger"
)

// Shapes keeps shapes in a temporary file. The zero value is empty; it is for one
// goroutine, but At may be called from many.
type Shapes struct {
	file *os.File
	ends []int64 // where each begins, and the last ends
}

// Add keeps a shape, whose index is how many were added before.
func (s *Shapes) Add(shape *ledger.Shape) (err error) {
	if s.file == nil {
		if s.file, err = temporaryFile(); err != nil {
			return err
		}
		s.ends = []int64{0}
	}
	wkb, err := shape.MarshalBinary()
	if err != nil {
		return err
	}
	end := s.ends[len(s.ends)-1]
	s.ends = append(s.ends, end+int64(len(wkb)))
	_, err = s.file.WriteAt(wkb, end)
	return err
}

// At gives a shape back.
func (s *Shapes) At(i int) (*ledger.Shape, error) {
	wkb := make([]byte, s.ends[i+1]-s.ends[i])
	if _, err := s.file.ReadAt(wkb, s.ends[i]); err != nil {
		return nil, err
	}
	return ledger.ShapeFromBinary(wkb)
}

// Close forgets the shapes.
func (s *Shapes) Close() {
	if s.file != nil {
		discardFile(s.file)
	}
	*s = Shapes{}
}
