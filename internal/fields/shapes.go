package fields

import (
	"os"

	"github.com/meti-go/meti/ledger"
)

// Shapes keeps shapes in a temporary file. The zero value is empty; it is for one
// goroutine, but At may be called from many.
type Shapes struct {
	file *os.File
	ends []int64 // where each ends
}

// Add keeps a shape, whose index is how many were added before.
func (s *Shapes) Add(shape *ledger.Shape) error {
	wkb, err := shape.MarshalBinary()
	if err != nil {
		return err
	}
	if s.file == nil {
		if s.file, err = temporaryFile(); err != nil {
			return err
		}
	}
	start := s.start(len(s.ends))
	if _, err := s.file.WriteAt(wkb, start); err != nil {
		return err
	}
	s.ends = append(s.ends, start+int64(len(wkb)))
	return nil
}

func (s *Shapes) start(i int) int64 {
	if i == 0 {
		return 0
	}
	return s.ends[i-1]
}

// At gives a shape back.
func (s *Shapes) At(i int) (*ledger.Shape, error) {
	start := s.start(i)
	wkb := make([]byte, s.ends[i]-start)
	if _, err := s.file.ReadAt(wkb, start); err != nil {
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
