package fields

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/meti-go/meti/internal/scan"
)

// MaxFeature is the size in bytes above which one feature, or another value of
// the file, is refused.
const MaxFeature = 64 << 20

var errTooLarge = fmt.Errorf("it is larger than %d MiB, the most that one feature may have", MaxFeature>>20)

// A window is the part of the input that is in memory: it reads on where that
// ends, and forgets what stands before i, or before mark while it looks ahead.
type window struct {
	in     io.Reader
	err    error // what in said at last
	buf    []byte
	i      int // where the reading stands
	mark   int // where the looking ahead began
	marked bool
	base   int64 // of buf, in the input

	line    int   // the line, from 1, of the byte at counted
	counted int64 // up to where line ends were counted, in the input
	begin   int64 // of that line
}

const pieceSize = 256 << 10

func newWindow(in io.Reader) *window {
	return &window{in: in, buf: make([]byte, 0, pieceSize), line: 1}
}

// more reads on. It gives io.EOF at the end.
func (w *window) more() error {
	if w.err != nil {
		return w.err
	}
	drop := w.i
	if w.marked {
		drop = w.mark
	}
	w.count(drop)
	w.buf = w.buf[:copy(w.buf, w.buf[drop:])]
	w.i, w.mark, w.base = w.i-drop, w.mark-drop, w.base+int64(drop)
	had := len(w.buf)
	if had > MaxFeature {
		return errTooLarge
	}
	w.buf, w.err = scan.Fill(w.in, w.buf, MaxFeature+pieceSize)
	if len(w.buf) > had {
		return nil // what came before the error counts first
	}
	return w.err
}

// next goes to the next byte that is no space, and gives it.
func (w *window) next() (byte, error) {
	for {
		if w.i = scan.SkipSpace(w.buf, w.i); w.i < len(w.buf) {
			return w.buf[w.i], nil
		}
		if err := w.more(); err != nil {
			return 0, err
		}
	}
}

// pass goes behind the next byte, which has to be this one, and on to the one
// that follows.
func (w *window) pass(want byte) error {
	c, err := w.next()
	if err == nil && c != want {
		return w.syntax(w.i)
	}
	if err == nil {
		w.i++
		_, err = w.next()
	}
	return w.cutShort(err)
}

// item goes to the next item of an array or an object, which ends by shut, and
// reports whether there is one.
func (w *window) item(first bool, shut byte) (more bool, err error) {
	c, err := w.next()
	switch {
	case err != nil:
		return false, w.cutShort(err)
	case c == shut:
		w.i++
		return false, nil
	case !first:
		err = w.pass(',')
	}
	return err == nil, err
}

// member goes to the value of an object's next member, and gives its name.
func (w *window) member(first bool) (name string, more bool, err error) {
	if more, err = w.item(first, '}'); !more {
		return "", false, err
	}
	if w.buf[w.i] != '"' {
		return "", false, w.syntax(w.i)
	}
	quoted, err := w.value()
	if err != nil {
		return "", false, err
	}
	name = scan.Unquote(quoted)
	err = w.pass(':')
	return name, err == nil, err
}

// value goes behind the value that begins at i, and gives its text, which is
// good until more is read. An error leaves i where it is.
func (w *window) value() ([]byte, error) {
	for {
		end, ok := scan.SkipValue(w.buf, w.i)
		if !ok && end < len(w.buf) {
			return nil, w.syntax(end)
		}
		if !ok || end == len(w.buf) && bytes.IndexByte([]byte(`}]"`), w.buf[end-1]) < 0 { // a number may go on
			if err := w.more(); err == nil {
				continue
			} else if !ok || !errors.Is(err, io.EOF) {
				return nil, w.cutShort(err)
			}
		}
		raw := w.buf[w.i:end]
		w.i = end
		return raw, nil
	}
}

func (w *window) cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return &broken{at: w.base + int64(len(w.buf)), why: "not JSON: it is cut short"}
	}
	return err
}

// broken says where JSON is broken, and why.
type broken struct {
	at   int64 // in the input
	why  string
	seen bool // what stands behind it was read
}

func (b *broken) Error() string { return b.why }

// syntax says what is wrong at an index of the window.
func (w *window) syntax(i int) error {
	at := w.base + int64(i)
	for int(at-w.base)+9 > len(w.buf) && w.more() == nil { // a word may be cut in two
	}
	i = int(at - w.base)
	near := w.buf[max(i-3, 0):min(i+9, len(w.buf))]
	why := fmt.Sprintf("not JSON: unexpected %q", rune(w.buf[i]))
	for _, word := range []string{"NaN", "Infinity"} {
		if bytes.Contains(bytes.ToLower(near), bytes.ToLower([]byte(word))) {
			why = "not JSON: " + word + " is no number in JSON; write null"
		}
	}
	if c := w.buf[i]; c == '\n' || c == '\r' {
		why = "not JSON: a line ends within a string"
	}
	return &broken{at: at, why: why}
}

// count counts lines up to an index of the window.
func (w *window) count(i int) {
	if part := w.buf[min(max(int(w.counted-w.base), 0), i):i]; len(part) > 0 {
		if n := bytes.Count(part, []byte{'\n'}); n > 0 {
			w.line += n
			w.begin = w.base + int64(i-len(part)+bytes.LastIndexByte(part, '\n')+1)
		}
		w.counted = w.base + int64(i)
	}
}

// place gives the line and column of an offset that is not before the last one
// that was asked for, and is still in the window.
func (w *window) place(offset int64) (line, column int) {
	w.count(min(int(offset-w.base), len(w.buf)))
	return w.line, int(offset-w.begin) + 1
}

// skipTo goes behind the next such byte, however far that is, or to the end.
func (w *window) skipTo(c byte) {
	for {
		if n := bytes.IndexByte(w.buf[w.i:], c); n >= 0 {
			w.i += n + 1
			return
		}
		if w.i = len(w.buf); w.more() != nil {
			return
		}
	}
}
