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

// InputError says that a file cannot be read to its end. It is [ErrInput].
type InputError struct {
	Name         string
	Line, Column int   // from 1; 0 for the whole file
	Err          error // what is wrong
	Rest         bool  // there is more, that was not looked at
}

// ErrInput says that the input is not GeoJSON, or not all of it.
var ErrInput = errors.New("the input is not GeoJSON")

// Error names the file, the place and the cause.
func (e *InputError) Error() string {
	text := e.Name
	if e.Line > 0 {
		text = fmt.Sprintf("%s:%d:%d", e.Name, e.Line, e.Column)
	}
	text += ": " + e.Err.Error()
	if e.Rest {
		text += "; reading ended there, and the rest was not looked at"
	}
	return text
}

// Unwrap gives the cause.
func (e *InputError) Unwrap() error { return e.Err }

// Is reports whether target is ErrInput.
func (e *InputError) Is(target error) bool { return target == ErrInput }

// A window is the part of the input that is in memory: it reads on where that
// ends, and forgets what stands before i, or before mark while it looks ahead.
// Its errors are *InputErrors, io.EOF, and those of the input.
type window struct {
	name string
	in   io.Reader
	err  error // what in said at last
	buf  []byte
	base int64 // of buf, in the input
	i    int   // where the reading stands
	mark int   // where the looking ahead began, or -1

	counted int   // up to where lines were counted, in buf
	line    int   // the line there, from 1
	begin   int64 // of that line, in the input
}

const pieceSize = 256 << 10

func newWindow(name string, in io.Reader) *window {
	return &window{name: name, in: in, buf: make([]byte, 0, pieceSize), mark: -1, line: 1}
}

// more reads on. It gives io.EOF at the end.
func (w *window) more() error {
	if w.err != nil {
		return w.err
	}
	drop := w.i
	if w.mark >= 0 {
		drop = w.mark
		w.mark = 0
	}
	w.at(drop)
	w.buf = w.buf[:copy(w.buf, w.buf[drop:])]
	w.i, w.counted, w.base = w.i-drop, w.counted-drop, w.base+int64(drop)
	had := len(w.buf)
	if had > MaxFeature {
		return w.broken(w.i, errTooLarge)
	}
	w.buf, w.err = scan.Fill(w.in, w.buf, MaxFeature+pieceSize)
	if len(w.buf) > had {
		return nil // what came before the error counts first
	}
	return w.err
}

// at gives the line and the column of an index of the window. The line is right
// where the index is not before the last one that was asked for.
func (w *window) at(i int) (line, column int) {
	if i > w.counted {
		part := w.buf[w.counted:i]
		if n := bytes.Count(part, []byte{'\n'}); n > 0 {
			w.line += n
			w.begin = w.base + int64(w.counted+bytes.LastIndexByte(part, '\n')+1)
		}
		w.counted = i
	}
	return w.line, int(w.base+int64(i)-w.begin) + 1
}

// broken says what is wrong at an index of the window.
func (w *window) broken(i int, why error) *InputError {
	line, column := w.at(i)
	return &InputError{Name: w.name, Line: line, Column: column, Err: why, Rest: i < len(w.buf) || w.err == nil}
}

// unexpected says what is wrong with the byte at an index of the window.
func (w *window) unexpected(i int) error {
	for err := error(nil); err == nil && i+9 > len(w.buf); { // a word may be cut in two
		before := w.base
		err = w.more()
		i -= int(w.base - before)
	}
	near := bytes.ToLower(w.buf[max(i-3, 0):min(i+9, len(w.buf))])
	switch c := w.buf[i]; {
	case c == '\n' || c == '\r':
		return w.broken(i, errors.New("not JSON: a line ends within a string"))
	case bytes.Contains(near, []byte("nan")):
		return w.broken(i, errors.New("not JSON: NaN is no number in JSON; write null"))
	case bytes.Contains(near, []byte("infinity")):
		return w.broken(i, errors.New("not JSON: Infinity is no number in JSON; write null"))
	default:
		return w.broken(i, fmt.Errorf("not JSON: unexpected %q", rune(c)))
	}
}

// cutShort is the error of more, where the input must not end.
func (w *window) cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return w.broken(len(w.buf), errors.New("not JSON: it is cut short"))
	}
	return err
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
		return w.unexpected(w.i)
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
		return "", false, w.unexpected(w.i)
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
			return nil, w.unexpected(end)
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
