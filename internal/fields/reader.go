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

// A reader walks once over an input, whatever form it has, and hands over its
// features. A part of the input is in memory: it reads on where that ends, and
// forgets what it has walked over, unless it is to be kept. Its errors are an
// *InputError, a *FormatError, io.EOF, and those of the input and of yield.
type reader struct {
	name  string
	in    io.Reader
	yield func(Item) error // its error ends the reading

	err  error // what in said at last
	buf  []byte
	base int64 // of buf, in the input
	i    int   // where the reading stands
	keep int   // from where on nothing is forgotten, or -1

	counted int   // up to where lines were counted, in buf
	line    int   // the line there, from 1
	begin   int64 // of that line, in the input

	index    int  // of the next feature
	sequence bool // RFC 8142: features stand between record separators
	whole
}

const pieceSize = 256 << 10

func newReader(name string, in io.Reader, yield func(Item) error) *reader {
	return &reader{name: name, in: in, yield: yield, buf: make([]byte, 0, pieceSize), keep: -1, line: 1}
}

// list walks over an array or an object, whose bracket stands at i and which ends
// by shut; item reads each of its items.
func (r *reader) list(shut byte, item func() error) error {
	r.i++
	c, err := r.next()
	if err == nil && c == shut {
		r.i++
		return nil
	}
	for err == nil {
		if err = item(); err != nil {
			return err
		}
		if c, err = r.next(); err == nil && c == shut {
			r.i++
			return nil
		}
		if err == nil {
			err = r.pass(',')
		}
	}
	return r.cutShort(err)
}

// pass goes behind the next byte, which has to be this one, and on to the one
// that follows.
func (r *reader) pass(want byte) error {
	c, err := r.next()
	if err == nil && c != want {
		return r.unexpected(r.i)
	}
	if err == nil {
		r.i++
		_, err = r.next()
	}
	return r.cutShort(err)
}

// next goes to the next byte that is no space, and gives it.
func (r *reader) next() (byte, error) {
	for {
		if r.i = scan.SkipSpace(r.buf, r.i); r.i < len(r.buf) {
			return r.buf[r.i], nil
		}
		if err := r.more(); err != nil {
			return 0, err
		}
	}
}

// value goes behind the value that begins at i, and gives its text, which is
// good until more is read. An error leaves i where it is.
func (r *reader) value() ([]byte, error) {
	for {
		end, ok := scan.SkipValue(r.buf, r.i)
		if !ok && end < len(r.buf) {
			return nil, r.unexpected(end)
		}
		if !ok || end == len(r.buf) && bytes.IndexByte([]byte(`}]"`), r.buf[end-1]) < 0 { // a number may go on
			if err := r.more(); err == nil {
				continue
			} else if !ok || !errors.Is(err, io.EOF) {
				return nil, r.cutShort(err)
			}
		}
		raw := r.buf[r.i:end]
		r.i = end
		return raw, nil
	}
}

// more reads on. It gives io.EOF at the end.
func (r *reader) more() error {
	if r.err != nil {
		return r.err
	}
	drop := r.i
	if r.keep >= 0 {
		drop, r.keep = r.keep, 0
	}
	r.at(drop)
	r.buf = r.buf[:copy(r.buf, r.buf[drop:])]
	r.i, r.counted, r.base = r.i-drop, r.counted-drop, r.base+int64(drop)
	had := len(r.buf)
	if had > MaxFeature {
		return r.broken(max(r.keep, 0), errTooLarge)
	}
	r.buf, r.err = scan.Fill(r.in, r.buf, MaxFeature+pieceSize)
	if len(r.buf) > had {
		return nil // what came before the error counts first
	}
	return r.err
}

// at gives the line and the column of an index of buf. The line is right where the
// index is not before the last one that was asked for.
func (r *reader) at(i int) (line, column int) {
	if i > r.counted {
		part := r.buf[r.counted:i]
		if n := bytes.Count(part, []byte{'\n'}); n > 0 {
			r.line += n
			r.begin = r.base + int64(r.counted+bytes.LastIndexByte(part, '\n')+1)
		}
		r.counted = i
	}
	return r.line, int(r.base+int64(i)-r.begin) + 1
}

// broken says what is wrong at an index of buf.
func (r *reader) broken(i int, why error) *InputError {
	line, column := r.at(i)
	return &InputError{Name: r.name, Line: line, Column: column, Err: why, Rest: i < len(r.buf) || r.err == nil}
}

// unexpected says what is wrong with the byte at an index of buf.
func (r *reader) unexpected(i int) error {
	what := fmt.Sprintf("unexpected %q", rune(r.buf[i]))
	switch r.buf[i] {
	case '\n', '\r':
		what = "a line ends within a string"
	case 'N':
		what = "NaN is no number in JSON; write null"
	case 'I':
		what = "Infinity is no number in JSON; write null"
	}
	return r.broken(i, errors.New("not JSON: "+what))
}

// cutShort is the error of next and more, where the input must not end.
func (r *reader) cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return r.broken(len(r.buf), errors.New("not JSON: it is cut short"))
	}
	return err
}
