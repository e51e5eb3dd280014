package scan

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
)

// A Scanner reads itself from what a Decoder comes to next. Types of gen are:
// their code is generated.
type Scanner interface{ ScanJSON(d *Decoder) }

// A Decoder decodes what has been read so far, and where that ends too early
// reads more and tries again from the start of the same value: a body is read
// in pieces many times as long as a value, so this is rare, and the code that
// decodes need not know of it. Nothing that it hands out keeps its buffer.
//
// Where JSON is broken or cut short, failed is set, which ends every loop; i is
// then at the byte in the way, or at the end of what was read.
type Decoder struct {
	body    io.Reader
	readErr error // what body said at last
	buf     []byte
	i       int
	before  int64 // how many bytes of the body were forgotten
	failed  bool
	problem error // why JSON that may be sound is not what it has to be

	keys  *Keys
	index int       // of the member that is being read, in keys, or -1
	name  []byte    // its name, where it is not in keys
	value int       // where its value begins
	after [65]uint8 // the member that followed each one last time

	known []string // short texts, which tend to come again; none for a single value
}

const (
	// Most answers fit into the first buffer, and a long one gets a larger one.
	firstBuffer = 4 << 10
	bufferSize  = 128 << 10
	// valueDepth is how deep the values of a streamed element's members stand.
	valueDepth = 2
)

// Array decodes a JSON array, each element as soon as it has arrived: one
// decodes it, and done takes it. The array may be null, which is empty. An
// element of more than limit bytes is an error; name says for errors which
// element it is, by its number from 1.
//
// JSON that is cut short is an error that wraps [io.ErrUnexpectedEOF]; the
// errors of body and of done are handed back as they are.
func Array(body io.Reader, limit int, one func(d *Decoder), done func() error, name func(number int) string) error {
	d := &Decoder{body: body, buf: make([]byte, 0, firstBuffer), known: make([]string, 512)}
	for number := 1; ; number++ {
		more := false
		err := d.whole(limit, func() {
			if number == 1 && d.null() {
				return
			}
			if more = d.next(number == 1, '[', ']', "an array"); more {
				one(d)
			}
		}, func() string {
			if more {
				return name(number)
			}
			return "the answer"
		})
		if err != nil {
			return err
		}
		if !more {
			return d.end()
		}
		if err := done(); err != nil {
			return err
		}
	}
}

// Value decodes the one JSON value of body, of which errors speak by this name.
// Its errors are those of [Array].
func Value(body io.Reader, limit int, to Scanner, name string) error {
	return value(&Decoder{body: body, buf: make([]byte, 0, firstBuffer)}, limit, to, name)
}

// Unmarshal is json.Unmarshal for a type that scans itself.
func Unmarshal(text []byte, to Scanner) error {
	if string(text) == "null" {
		return nil
	}
	return value(&Decoder{buf: text, readErr: io.EOF}, math.MaxInt, to, "the value")
}

func value(d *Decoder, limit int, to Scanner, name string) error {
	if err := d.whole(limit, func() { to.ScanJSON(d) }, func() string { return name }); err != nil {
		return err
	}
	return d.end()
}

// whole takes a step, once enough has been read for it.
func (d *Decoder) whole(limit int, step func(), name func() string) error {
	for start := d.i; ; start = 0 {
		d.failed, d.problem = false, nil
		if d.i = SkipSpace(d.buf, d.i); d.i < len(d.buf) {
			step()
		} else {
			d.failed = true
		}
		switch {
		case !d.failed:
			return nil
		case d.problem != nil:
			return fmt.Errorf("%s: %w", name(), d.problem)
		case d.i < len(d.buf):
			return d.broken(name())
		case len(d.buf)-start > limit:
			return fmt.Errorf("%s is larger than %d MiB", name(), limit>>20)
		}
		if err := d.fill(start); err == io.EOF {
			return fmt.Errorf("the JSON is cut short after %d bytes: %w", d.before+int64(len(d.buf)), io.ErrUnexpectedEOF)
		} else if err != nil {
			return err
		}
	}
}

// end expects nothing but space.
func (d *Decoder) end() error {
	for {
		if d.i = SkipSpace(d.buf, d.i); d.i < len(d.buf) {
			return d.broken("the answer")
		}
		if err := d.fill(d.i); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// broken is an error at d.i.
func (d *Decoder) broken(name string) error {
	return fmt.Errorf("%s: broken JSON: unexpected %q at byte %d", name, d.buf[d.i], d.before+int64(d.i))
}

// fill forgets what stands before keep, and reads on.
func (d *Decoder) fill(keep int) error {
	if d.readErr != nil {
		return d.readErr
	}
	d.before += int64(keep)
	if kept := d.buf[keep:]; len(kept) > 0 && cap(d.buf) < bufferSize {
		d.buf = append(make([]byte, 0, bufferSize), kept...)
	} else {
		d.buf = d.buf[:copy(d.buf, kept)]
	}
	d.i = 0
	had := len(d.buf)
	if d.buf, d.readErr = Fill(d.body, d.buf, math.MaxInt); len(d.buf) > had {
		return nil // what came before the error counts first
	}
	return d.readErr
}

// Fill reads on behind what buf holds, a good part more than that, so that
// walking over it again costs little, however small the pieces are. It makes
// buf larger where it has to, up to most bytes.
func Fill(in io.Reader, buf []byte, most int) (filled []byte, err error) {
	enough := min(len(buf)+len(buf)/4+1, most)
	if enough > cap(buf) {
		size := 2 * cap(buf)
		if size > most/2 {
			size = most
		}
		buf = append(make([]byte, 0, size), buf...)
	}
	for idle := 0; len(buf) < enough && err == nil; idle++ {
		var n int
		n, err = in.Read(buf[len(buf):cap(buf)])
		if buf = buf[:len(buf)+n]; n > 0 {
			idle = 0
		} else if idle == 100 && err == nil {
			err = io.ErrNoProgress
		}
	}
	return buf, err
}

// to goes to i, where walking over something has ended.
func (d *Decoder) to(i int, ok bool) bool {
	d.i = i
	d.failed = d.failed || !ok
	return ok
}

// word reads true, false or null.
func (d *Decoder) word(word string) bool { return d.to(skipWord(d.buf, d.i, word)) }

// next goes to the next item of an array or an object, which begins by open, and
// is called what in errors.
func (d *Decoder) next(first bool, open, shut byte, what string) (more bool) {
	if d.failed {
		return false
	}
	if d.i = SkipSpace(d.buf, d.i); first && d.i < len(d.buf) && d.buf[d.i] != open {
		if end, ok := skipValue(d.buf, d.i, 0); !ok {
			return d.to(end, false) // broken, or cut short
		}
		d.problem = fmt.Errorf("should be %s, and begins with %q", what, d.buf[d.i])
		return d.to(d.i, false)
	}
	i, more, ok := next(d.buf, d.i, first, shut)
	return d.to(i, ok) && more
}

// Keys are the names of an object's members that have a field.
type Keys struct {
	names  []string
	quoted [][]byte // as they are commonly written before a value
	index  map[string]int
}

// KeysOf makes Keys of at most 64 names, at least one.
func KeysOf(names ...string) *Keys {
	if len(names) == 0 || len(names) > 64 {
		panic(errors.New("scan: between 1 and 64 names"))
	}
	k := &Keys{names: names, index: make(map[string]int, len(names))}
	for i, name := range names {
		k.quoted = append(k.quoted, fmt.Appendf(nil, "%q:", name))
		k.index[name] = i
	}
	return k
}

// Has reports whether there is a field for this name.
func (k *Keys) Has(name string) bool {
	_, has := k.index[name]
	return has
}

// Member goes to the value of the object's next member, the first time of its
// first, and reports whether there is one. Its index is -1 where it has no field.
// Members tend to follow each other as they did last time, so that is looked at
// first.
func (d *Decoder) Member(first bool, k *Keys) (index int, more bool) {
	if first {
		d.index, d.keys = -1, k
	}
	if !d.next(first, '{', '}', "an object") {
		return 0, false
	}
	start, guess := d.i, &d.after[d.index+1]
	if d.index = int(*guess) % len(k.quoted); bytes.HasPrefix(d.buf[start:], k.quoted[d.index]) {
		d.value = SkipSpace(d.buf, start+len(k.quoted[d.index]))
		return d.index, d.to(d.value, d.value < len(d.buf))
	}
	end, plain, ok := skipText(d.buf, start)
	if !d.to(end, ok) {
		return 0, false
	}
	if d.name = d.buf[start+1 : end-1]; !plain {
		d.name = unquote(d.buf[start:end])
	}
	if d.index, ok = k.index[string(d.name)]; ok {
		*guess = uint8(d.index)
	} else {
		d.index = -1
	}
	d.value, ok = skipColon(d.buf, end)
	return d.index, d.to(d.value, ok)
}
