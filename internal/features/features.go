// Package features reads GeoJSON of any size one feature at a time, in flat
// memory: a FeatureCollection, a Feature, a bare geometry, one after another
// (newline-delimited GeoJSON), or an array of them.
//
// It finds where each feature begins and ends and checks that it is JSON. What
// the feature says is judged by others.
package features

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
)

// DefaultMaxSize is the size in bytes above which one feature is refused.
const DefaultMaxSize = 64 << 20

// Item is one feature, or what stands in its place.
type Item struct {
	// Raw is the JSON text as it was read. It is overwritten by the next
	// step: clone what is to be kept.
	Raw []byte
	// Type is the text of the member "type": "Feature", a geometry's type
	// such as "Polygon", or empty where there is none. The members of a
	// FeatureCollection are called "Feature" whatever they say.
	Type   string
	Offset int64 // of Raw from the start of the input, in bytes
	Line   int   // on which Raw begins, from 1
	Index  int   // among the features of the input, from 0
}

// Error says where the input cannot be read.
type Error struct {
	Line   int   // from 1
	Index  int   // of the feature that was about to be read, from 0
	Offset int64 // of the same, in bytes
	Err    error
}

// Error names the line, the feature and the cause.
func (e *Error) Error() string {
	return fmt.Sprintf("line %d, feature %d: %v", e.Line, e.Index, e.Err)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrTooLarge says that one feature, or one other member of a collection, is
// larger than is read.
var ErrTooLarge = errors.New("too large")

// Reader reads the features of one input. It is for one goroutine.
type Reader struct {
	// MaxSize is the size in bytes above which one feature is refused with
	// [ErrTooLarge]; DefaultMaxSize when 0.
	MaxSize int
	// Member, if set, is told of the members of a FeatureCollection other
	// than "type" and "features", such as "crs". The value is overwritten
	// after the call.
	Member func(name string, value []byte)

	in    *source
	dec   *json.Decoder
	base  int64 // where dec began, in the input
	index int
	raw   json.RawMessage
	seen  bool // something was read
	multi bool // newline-delimited: the first value stood on one line
}

// NewReader returns a Reader of in. A byte order mark is skipped.
func NewReader(in io.Reader) *Reader {
	return &Reader{in: &source{buffer: bufio.NewReaderSize(in, 64<<10), line: 1}}
}

// All reads the features in turn, once. Every error is an [*Error]. It is the
// last that is yielded, save in newline-delimited input: there a line that is
// no JSON is reported and the next one is read.
func (r *Reader) All() iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		if r.MaxSize <= 0 {
			r.MaxSize = DefaultMaxSize
		}
		r.in.most = int64(r.MaxSize)
		if mark, err := r.in.buffer.Peek(3); err == nil && string(mark) == "\xef\xbb\xbf" {
			_, _ = r.in.buffer.Discard(3)
			r.in.read, r.base = 3, 3
		}
		streamed := r.sniff()
		r.dec = json.NewDecoder(r.in)
		if streamed && !r.stream(yield) {
			return
		}
		for r.value(yield) {
		}
	}
}

// sniff looks at the beginning: is this a collection, or an array, to be
// walked through? Where the first 64 KiB do not tell it is read as a value,
// which comes to the same for all that fits into MaxSize.
func (r *Reader) sniff() bool {
	for n := 1; ; n *= 2 {
		head, err := r.in.buffer.Peek(min(max(n, r.in.buffer.Buffered()), r.in.buffer.Size()))
		walk, sure := opens(head)
		if sure || err != nil || len(head) == r.in.buffer.Size() {
			return walk
		}
	}
}

// opens reports whether head is the beginning of a collection or an array, and
// whether it is long enough to tell.
func opens(head []byte) (walk, sure bool) {
	dec := json.NewDecoder(bytes.NewReader(head))
	token, err := dec.Token()
	if err != nil {
		return false, !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF)
	}
	if token == json.Delim('[') {
		return true, true
	}
	if token != json.Delim('{') {
		return false, true
	}
	for {
		key, err := dec.Token()
		if err != nil || key == json.Delim('}') {
			return false, err == nil || !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF)
		}
		switch key {
		case "type":
			value, err := dec.Token()
			if err != nil {
				return false, false
			}
			return value == "FeatureCollection", true
		case "features":
			rest := head[dec.InputOffset():]
			rest = bytes.TrimLeft(rest, ": \t\r\n")
			return len(rest) > 0 && rest[0] == '[', len(rest) > 0
		}
		var skip json.RawMessage
		if err := dec.Decode(&skip); err != nil {
			return false, !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF)
		}
	}
}

// stream walks through a collection or an array that the decoder stands
// before, and reports whether to go on.
func (r *Reader) stream(yield func(Item, error) bool) bool {
	token, err := r.dec.Token()
	if err != nil {
		return r.fail(err, yield)
	}
	if token == json.Delim('[') {
		return r.elements(yield, false)
	}
	kind, found := "", false
	for r.dec.More() {
		key, err := r.dec.Token()
		if err != nil {
			return r.fail(err, yield)
		}
		if key == "features" {
			if token, err = r.dec.Token(); err != nil {
				return r.fail(err, yield)
			}
			if token != json.Delim('[') {
				return r.fail(errors.New("features is not an array"), yield)
			}
			if found {
				return r.fail(errors.New("the collection has two members named features"), yield)
			}
			found = true
			if !r.elements(yield, true) {
				return false
			}
			continue
		}
		if err := r.dec.Decode(&r.raw); err != nil {
			return r.fail(err, yield)
		}
		r.passed()
		if key == "type" {
			_ = json.Unmarshal(r.raw, &kind)
		} else if r.Member != nil {
			r.Member(key.(string), r.raw)
		}
	}
	if _, err := r.dec.Token(); err != nil { // the closing brace
		return r.fail(err, yield)
	}
	r.passed()
	if kind != "FeatureCollection" {
		return r.fail(fmt.Errorf(`an object with features has the type %q, not "FeatureCollection"`, kind), yield)
	}
	if !found {
		return r.fail(errors.New("a FeatureCollection without features"), yield)
	}
	return true
}

// elements yields what an array holds, its closing bracket included.
func (r *Reader) elements(yield func(Item, error) bool, collection bool) bool {
	for r.dec.More() {
		if err := r.dec.Decode(&r.raw); err != nil {
			return r.fail(err, yield)
		}
		kind := "Feature"
		if !collection {
			kind = typeOf(r.raw)
		}
		if !r.item(r.raw, kind, r.base+r.dec.InputOffset()-int64(len(r.raw)), yield) {
			return false
		}
		r.passed()
	}
	if _, err := r.dec.Token(); err != nil {
		return r.fail(err, yield)
	}
	r.passed()
	return true
}

// value reads one value of a sequence, and reports whether to go on.
func (r *Reader) value(yield func(Item, error) bool) bool {
	err := r.dec.Decode(&r.raw)
	if errors.Is(err, io.EOF) {
		if !r.seen {
			r.report(errors.New("the input is empty"), yield)
		}
		return false
	}
	if err != nil {
		return r.report(err, yield) && r.nextLine()
	}
	r.multi = r.multi || !r.seen && bytes.IndexByte(r.raw, '\n') < 0
	start := r.base + r.dec.InputOffset() - int64(len(r.raw))
	kind := typeOf(r.raw)
	if kind == "FeatureCollection" {
		if !r.nested(r.raw, start, yield) {
			return false
		}
	} else if !r.item(r.raw, kind, start, yield) {
		return false
	}
	r.passed()
	return true
}

// nested yields the features of a collection that is one value of a sequence,
// or whose beginning did not show what it is.
func (r *Reader) nested(raw []byte, start int64, yield func(Item, error) bool) bool {
	line := r.in.lineAt(start)
	inner := NewReader(bytes.NewReader(raw))
	inner.MaxSize, inner.Member = r.MaxSize, r.Member
	inner.index, inner.in.line = r.index, line
	inner.in.most = int64(len(raw))
	inner.dec = json.NewDecoder(inner.in)
	shift := func(item Item, err error) bool {
		item.Offset += start
		var e *Error
		if errors.As(err, &e) {
			e.Offset += start
		}
		return yield(item, err)
	}
	ok := inner.stream(shift)
	r.index = inner.index
	return ok
}

// item yields one feature.
func (r *Reader) item(raw []byte, kind string, offset int64, yield func(Item, error) bool) bool {
	item := Item{Raw: raw, Type: kind, Offset: offset, Line: r.in.lineAt(offset), Index: r.index}
	r.index++
	return yield(item, nil)
}

// passed tells the input that all before the decoder's place is done with.
func (r *Reader) passed() {
	r.seen = true
	r.in.done = r.base + r.dec.InputOffset()
}

// fail yields the error that is the last. It always returns false.
func (r *Reader) fail(err error, yield func(Item, error) bool) bool {
	r.report(err, yield)
	return false
}

// report yields an error, and returns whether the caller wants to go on.
func (r *Reader) report(err error, yield func(Item, error) bool) bool {
	offset := r.base + r.dec.InputOffset()
	rest, _ := io.ReadAll(r.dec.Buffered())
	if r.multi { // the line is at fault, wherever it shows
		offset += int64(len(rest) - len(bytes.TrimLeft(rest, " \t\r\n")))
	}
	var syntax, again *json.SyntaxError
	switch {
	case r.in.err != nil:
		err = r.in.err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("the input ends in the middle: %w", io.ErrUnexpectedEOF)
	case errors.As(err, &syntax):
		// Inside a value the decoder's own count leaves out what was read as
		// tokens; between values it is right.
		if between := syntax.Offset == r.dec.InputOffset(); !between && !r.multi && errors.As(json.Unmarshal(rest, &json.RawMessage{}), &again) {
			offset += max(again.Offset-1, 0)
		}
		err = fmt.Errorf("not JSON: %w", err)
	}
	return yield(Item{}, &Error{Line: r.in.lineAt(offset), Index: r.index, Offset: offset, Err: err})
}

// nextLine goes on behind the line that could not be read, where the input is
// newline-delimited, and reports whether that is so.
func (r *Reader) nextLine() bool {
	if !r.multi || r.in.err != nil {
		return false
	}
	rest, _ := io.ReadAll(r.dec.Buffered())
	start := len(rest) - len(bytes.TrimLeft(rest, " \t\r\n"))
	r.base += r.dec.InputOffset()
	end := bytes.IndexByte(rest[start:], '\n')
	for end < 0 {
		// Still the same line: what was read of it is not needed again.
		r.base += int64(len(rest))
		rest, start = make([]byte, 4096), 0
		n, err := r.in.Read(rest)
		if n == 0 && err != nil {
			return false
		}
		rest = rest[:n]
		end = bytes.IndexByte(rest, '\n')
	}
	r.base += int64(start + end + 1)
	r.in.back = append(rest[start+end+1:], r.in.back...)
	r.index++
	r.dec = json.NewDecoder(r.in)
	r.passed()
	return true
}

// typeOf reads the member "type" of an object; empty where there is none.
func typeOf(raw []byte) string {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if token, err := dec.Token(); err != nil || token != json.Delim('{') {
		return ""
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return ""
		}
		if key == "type" {
			value, _ := dec.Token()
			kind, _ := value.(string)
			return kind
		}
		var skip json.RawMessage
		if dec.Decode(&skip) != nil {
			return ""
		}
	}
	return ""
}

// source counts bytes and lines on the way to the decoder, and stops it from
// holding more than it should.
type source struct {
	buffer *bufio.Reader
	most   int64
	read   int64  // bytes handed out
	done   int64  // bytes that are done with
	err    error  // why no more is read
	back   []byte // to be handed out again

	line  int     // the line of the last position that was asked for
	lines []int64 // offsets behind the line ends since then
}

func (s *source) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	if len(s.back) > 0 {
		n := copy(p, s.back)
		s.back = s.back[n:]
		return n, nil
	}
	if s.read-s.done > s.most {
		s.err = fmt.Errorf("%w: more than %d bytes in one value", ErrTooLarge, s.most)
		return 0, s.err
	}
	n, err := s.buffer.Read(p)
	for at := 0; ; {
		i := bytes.IndexByte(p[at:n], '\n')
		if i < 0 {
			break
		}
		at += i + 1
		s.lines = append(s.lines, s.read+int64(at))
	}
	s.read += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// lineAt gives the line of an offset. Offsets must be asked for in order.
func (s *source) lineAt(offset int64) int {
	for len(s.lines) > 0 && s.lines[0] <= offset {
		s.lines = s.lines[1:]
		s.line++
	}
	return s.line
}
