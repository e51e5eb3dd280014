package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"io"
	"sync"
	"unicode/utf8"
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
	d := newDecoder(body)
	defer d.release()
	if err := d.whole((*decoder).alone); err != nil {
		return nil, err
	}
	return d.source, d.end()
}

// streamSources hands out the sources of a JSON array one by one, each as soon
// as it has arrived. The array may be null, which is empty.
//
// JSON that is cut short is an error that wraps [io.ErrUnexpectedEOF]; the
// errors of body and of each are handed back as they are.
func streamSources(body io.Reader, each func(*Source) error) error {
	d := newDecoder(body)
	defer d.release()
	if err := d.whole((*decoder).open); err != nil {
		return err
	}
	for !d.closed {
		if err := d.whole((*decoder).element); err != nil {
			return err
		}
		if d.source == nil {
			continue
		}
		d.count++
		if err := each(d.source); err != nil {
			return err
		}
	}
	return d.end()
}

// decoder reads sources from JSON that arrives bit by bit. It tries to decode
// what has been read so far, and where that ends too early reads more and
// tries again from the start of the same source: a body is read in pieces many
// times as long as a source, so this is rare, and the code that decodes need
// not know of it.
//
// Nothing that it hands out keeps its buffer.
type decoder struct {
	body    io.Reader
	readErr error   // what body said at last
	buf     []byte  // what was read and not yet forgotten
	i       int     // the index in buf of the next byte
	before  int64   // how many bytes were forgotten
	closed  bool    // the array has ended
	count   int     // the sources handed out
	source  *Source // the one that is being decoded
	field   int     // its member that is, in fields, or -1
	problem error   // sound JSON that is not what was asked for

	names   [512]string          // short texts that tend to come again
	after   [maxFields + 1]uint8 // the field that followed each one last time
	shelves [maxFields]any       // where each field's values are put, a *shelf of its type
	list    []string             // for lists that are being read
	plain   []byte               // for texts that had escapes
}

const (
	bufferSize = 128 << 10
	// maxFields is how many fields a source can have: a bit each.
	maxFields = 64
	// sourceDepth is how deep the values of a source stand in an answer.
	sourceDepth = 2
)

var (
	decoders = sync.Pool{New: func() any { return &decoder{buf: make([]byte, 0, bufferSize)} }}
	hashSeed = maphash.MakeSeed()
)

func newDecoder(body io.Reader) *decoder {
	d := decoders.Get().(*decoder)
	d.body, d.readErr, d.buf, d.i, d.before, d.closed, d.count = body, nil, d.buf[:0], 0, 0, false, 0
	return d
}

func (d *decoder) release() {
	d.body, d.readErr, d.source, d.problem = nil, nil, nil, nil
	if cap(d.buf) > bufferSize {
		return // one huge source should not be remembered by its buffer
	}
	clear(d.list)
	decoders.Put(d)
}

// alone is the step that decodes a source outside of an array.
func (d *decoder) alone() bool {
	d.source = new(Source)
	return d.skipSpace() && d.decode(d.source)
}

// open is the step that decodes the array's bracket.
func (d *decoder) open() bool {
	if !d.skipSpace() {
		return false
	}
	var ok bool
	switch d.buf[d.i] {
	case '[':
		d.i++
		return true
	case 'n':
		d.i, ok = skipWord(d.buf, d.i, "null")
		d.closed = ok
		return ok
	}
	return d.wrong("an array of sources")
}

// element is the step that decodes the array's next source, or its end.
func (d *decoder) element() bool {
	d.source = nil
	if !d.skipSpace() {
		return false
	}
	switch c := d.buf[d.i]; {
	case c == ']':
		d.closed = true
		d.i++
		return true
	case d.count > 0 && c != ',':
		return false
	case d.count > 0:
		d.i++
		if !d.skipSpace() {
			return false
		}
	}
	d.source = new(Source)
	return d.decode(d.source)
}

// skipSpace leaves out white space, and reports whether text follows.
func (d *decoder) skipSpace() bool {
	d.i = skipSpace(d.buf, d.i)
	return d.i < len(d.buf)
}

// end checks that nothing but space follows.
func (d *decoder) end() error {
	for {
		if d.i = skipSpace(d.buf, d.i); d.i < len(d.buf) {
			return d.syntaxError()
		}
		if err := d.fill(d.i); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// whole takes a step, which decodes at d.i and moves it, once enough has been
// read for it. A step that fails leaves d.i at the byte in the way, or at the
// end of what was read, or d.problem set.
func (d *decoder) whole(step func(*decoder) bool) error {
	for start := d.i; !step(d); start = 0 {
		if d.problem != nil {
			return fmt.Errorf("%s: %w", d.where(), d.problem)
		}
		if d.i < len(d.buf) {
			return d.syntaxError()
		}
		ended := d.readErr == io.EOF
		if err := d.fill(start); err == io.EOF {
			if !ended {
				continue // where the text ends, a number does
			}
			return fmt.Errorf("the JSON is cut short after %d bytes: %w", d.before+int64(len(d.buf)), io.ErrUnexpectedEOF)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// fill forgets what stands before keep, and reads on. It asks for a good part
// more than there is, so that decoding again costs little in all, however
// small the pieces are that arrive.
func (d *decoder) fill(keep int) error {
	d.before += int64(keep)
	d.buf = d.buf[:copy(d.buf, d.buf[keep:])]
	d.i = 0
	if len(d.buf) > MaxSourceBytes {
		return fmt.Errorf("%s is larger than %d MiB", d.where(), MaxSourceBytes>>20)
	}
	enough := len(d.buf) + len(d.buf)/4 + 1
	if enough > cap(d.buf) {
		larger := make([]byte, len(d.buf), 2*cap(d.buf))
		copy(larger, d.buf)
		d.buf = larger
	}
	had, idle := len(d.buf), 0
	for len(d.buf) < enough && d.readErr == nil {
		var n int
		n, d.readErr = d.body.Read(d.buf[len(d.buf):cap(d.buf)])
		d.buf = d.buf[:len(d.buf)+n]
		if idle++; n > 0 {
			idle = 0
		} else if idle == 100 && d.readErr == nil {
			d.readErr = io.ErrNoProgress
		}
	}
	if len(d.buf) > had {
		return nil // what came before the error counts first
	}
	return d.readErr
}

func (d *decoder) syntaxError() error {
	return fmt.Errorf("%s: broken JSON: unexpected %q at byte %d", d.where(), d.buf[d.i], d.before+int64(d.i))
}

// where names the source that is being decoded, for errors.
func (d *decoder) where() string {
	switch {
	case d.source == nil:
		return "the answer"
	case d.source.ID == "":
		return fmt.Sprintf("source %d of the answer", d.count+1)
	}
	return fmt.Sprintf("source %d of the answer (%s)", d.count+1, d.source.ID)
}

// wrong says what should stand at d.i instead of what does, if that is JSON at
// all.
func (d *decoder) wrong(want string) bool {
	start := d.i
	end, ok := skipValue(d.buf, start, 0)
	if !ok || end == len(d.buf) && d.readErr == nil { // a number may go on
		d.i = end
		return false
	}
	got := string(d.buf[start:min(end, start+40)])
	if end > start+40 {
		got += "…"
	}
	d.problem = fmt.Errorf("should be %s, and is %s", want, got)
	return false
}

// unquote gives the value of a string that may hold escapes and bytes that are
// not UTF-8.
func (d *decoder) unquote(quoted []byte) []byte {
	value := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(value, '\\') < 0 && utf8.Valid(value) {
		return value
	}
	var s string
	_ = json.Unmarshal(quoted, &s) // its grammar has been checked
	d.plain = append(d.plain[:0], s...)
	return d.plain
}

// intern gives a text as a string, the same one where it came before: the
// names of countries, methodologies and accounts come with every source.
func (d *decoder) intern(value []byte) string {
	if len(value) > 64 {
		return string(value)
	}
	known := &d.names[maphash.Bytes(hashSeed, value)%uint64(len(d.names))]
	if *known != string(value) {
		*known = string(value)
	}
	return *known
}
