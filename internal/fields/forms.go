package fields

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/meti-go/meti/internal/scan"
	"github.com/meti-go/meti/ledger"
)

// Place is where a feature stands in its file.
type Place struct {
	Offset int64 // in bytes
	Length int32 // in bytes; 0 where it cannot be read
	Line   int   // from 1
	Column int   // from 1, in bytes
	Index  int   // among the features of the file, from 0
}

// Kind is what stands in the place of a feature.
type Kind uint8

// The kinds. The members of a FeatureCollection are Features whatever they say.
const (
	Feature  Kind = iota
	Geometry      // a bare geometry
	Source        // a source as METI writes it: alt_id, start_at, end_at, geometry
)

// Item is one feature as it stands in the file.
type Item struct {
	Place
	Kind Kind
	Raw  []byte // overwritten by the next step; nil with Err
	Err  error  // why it cannot be read, though what follows it can
}

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

// reading walks once over an input, whatever form it has.
type reading struct {
	*window
	name  string
	yield func(Item) error // its error ends the reading

	index    int
	lines    bool // newline-delimited: what is broken ends with its line
	sequence bool // RFC 8142: what is broken ends before the next record separator
	crs      []byte
	repeated []string                   // members of a collection that stand twice
	shared   map[string]json.RawMessage // attributes beside the features
}

const recordSeparator = 0x1E // RFC 8142

// all reads everything. What ends it early is an error: an *InputError, one of
// yield's, or one of the input's.
func (r *reading) all() error {
	if err := r.start(); err != nil {
		return r.failed(err)
	}
	for first := true; ; first = false {
		c, err := r.next()
		switch {
		case errors.Is(err, io.EOF):
			if first {
				return &InputError{Name: r.name, Err: errors.New("the input is empty")}
			}
			return nil
		case err != nil:
			return err
		case c == recordSeparator:
			r.sequence = true
			r.i++
			continue
		case c == '[' && first:
			err = r.elements(false)
		case c == '{':
			err = r.object(first)
		default:
			err = r.recover(r.syntax(r.i))
		}
		if err != nil {
			return r.failed(err)
		}
	}
}

// start skips a byte order mark and refuses what is no GeoJSON.
func (r *reading) start() error {
	for len(r.buf) < 4 && r.more() == nil {
	}
	if text := bytes.TrimLeft(r.buf, "\xef\xbb\xbf \t\r\n"); len(text) == 0 || bytes.IndexByte([]byte("{[\x1e"), text[0]) < 0 {
		for len(r.buf) < 4096 && r.more() == nil { // a format tells itself within this
		}
	}
	if r.err != nil && !errors.Is(r.err, io.EOF) {
		return r.err
	}
	if format := formatOf(r.buf); format != nil {
		return &FormatError{Name: r.name, format: format}
	}
	if bytes.HasPrefix(r.buf, []byte("\xef\xbb\xbf")) {
		r.i, r.keep, r.begin, r.counted = 3, 3, 3, 3
	}
	return nil
}

// failed gives the error that ends the reading the form in which it is told.
func (r *reading) failed(err error) error {
	var b *broken
	var format *FormatError
	switch {
	case errors.As(err, &b):
		line, column := r.place(b.at)
		return &InputError{Name: r.name, Line: line, Column: column, Err: err, Rest: !b.seen && (b.at < r.base+int64(len(r.buf)) || r.err == nil)}
	case errors.Is(err, errTooLarge):
		line, column := r.place(r.base + int64(r.keep))
		return &InputError{Name: r.name, Line: line, Column: column, Err: fmt.Errorf("feature %d: %w", r.index, err), Rest: true}
	case errors.As(err, &format):
		return err
	}
	return err
}

// object reads one object of the file itself.
func (r *reading) object(first bool) error {
	r.keep = r.i
	for {
		if collection, sure := r.opens(); collection {
			return r.collection(false)
		} else if sure {
			break
		}
		if err := r.more(); err != nil { // value says why
			break
		}
	}
	line, column := r.place(r.base + int64(r.i))
	at := Place{Offset: r.base + int64(r.i), Line: line, Column: column, Index: r.index}
	raw, err := r.value()
	if err != nil {
		return r.recover(err)
	}
	if first {
		if format := jsonFormatOf(raw); format != nil {
			return &FormatError{Name: r.name, format: format}
		}
		r.lines = bytes.IndexByte(raw, '\n') < 0
	}
	kind := kindOf(raw)
	if kind == Source && first {
		r.share(raw)
	}
	at.Length = int32(len(raw))
	r.index++
	return r.yield(Item{Place: at, Kind: kind, Raw: raw})
}

// opens looks whether the object at i is one to be walked through, as far as it
// is in the window. sure says that more of it would tell nothing else.
func (r *reading) opens() (collection, sure bool) {
	b, i := r.buf, scan.SkipSpace(r.buf, r.i+1)
	for i < len(b) && b[i] == '"' {
		end, ok := scan.SkipText(b, i)
		if !ok {
			return false, end < len(b)
		}
		name := scan.Unquote(b[i:end])
		if i = scan.SkipSpace(b, end); i >= len(b) || b[i] != ':' {
			break
		}
		if i = scan.SkipSpace(b, i+1); i >= len(b) {
			break
		}
		if name == "features" && b[i] == '[' || name == "feature_collection" && b[i] == '{' {
			return true, true
		}
		if end, ok = scan.SkipValue(b, i); !ok {
			return false, end < len(b)
		}
		if name == "type" && b[i] == '"' {
			kind := scan.Unquote(b[i:end])
			return kind == "FeatureCollection", true
		}
		if i = scan.SkipSpace(b, end); i >= len(b) || b[i] != ',' {
			break
		}
		i = scan.SkipSpace(b, i+1)
	}
	return false, i < len(b)
}

// collection walks through a FeatureCollection, or the wrapper around one.
func (r *reading) collection(wrapped bool) error {
	if err := r.expect('{'); err != nil {
		return err
	}
	var kind string
	var names []string
	found, wrapper := false, false
	own := map[string]json.RawMessage{}
	for first := true; ; first = false {
		c, err := r.next()
		if err != nil {
			return r.cutShort(err)
		}
		if c == '}' {
			break
		}
		if !first {
			if err := r.expect(','); err != nil {
				return err
			}
			if c, err = r.next(); err != nil {
				return r.cutShort(err)
			}
		}
		if c != '"' {
			return r.syntax(r.i)
		}
		quoted, err := r.value()
		if err != nil {
			return err
		}
		name := scan.Unquote(quoted)
		if slices.Contains(names, name) {
			r.repeated = append(r.repeated, name)
		}
		names = append(names, name)
		if err = r.expect(':'); err != nil {
			return err
		}
		if c, err = r.next(); err != nil {
			return r.cutShort(err)
		}
		switch {
		case name == "features" && found, name == "feature_collection" && wrapper:
			return &broken{at: r.base + int64(r.i), why: fmt.Sprintf("the collection has two members named %s", name)}
		case name == "features" && c == '[':
			found = true
			if err := r.elements(true); err != nil {
				return err
			}
			continue
		case name == "feature_collection" && c == '{' && !wrapped:
			wrapper = true
			if err := r.collection(true); err != nil {
				return err
			}
			continue
		}
		raw, err := r.value()
		if err != nil {
			return err
		}
		switch name {
		case "type":
			kind = string(raw)
			if raw[0] == '"' {
				kind = scan.Unquote(raw)
			}
		case "crs":
			if ledger.CheckCRS(r.crs) == nil { // a foreign one is not forgotten
				r.crs = bytes.Clone(raw)
			}
		}
		own[name] = bytes.Clone(raw)
	}
	r.i++
	r.keep = r.i
	if wrapper {
		delete(own, "type")
		delete(own, "crs")
		r.shared = own
		return nil
	}
	switch {
	case kind != "FeatureCollection":
		return &broken{at: r.base + int64(r.i-1), why: fmt.Sprintf(`the type of an object with features is %q, not "FeatureCollection"`, kind), seen: true}
	case !found:
		return &broken{at: r.base + int64(r.i-1), why: "a FeatureCollection without an array of features", seen: true}
	}
	return nil
}

// elements reads an array of features.
func (r *reading) elements(collection bool) error {
	if err := r.expect('['); err != nil {
		return err
	}
	for first := true; ; first = false {
		c, err := r.next()
		if err != nil {
			return r.cutShort(err)
		}
		if c == ']' {
			break
		}
		if !first {
			if err := r.expect(','); err != nil {
				return err
			}
			if _, err := r.next(); err != nil {
				return r.cutShort(err)
			}
		}
		line, column := r.place(r.base + int64(r.i))
		at := Place{Offset: r.base + int64(r.i), Line: line, Column: column, Index: r.index}
		raw, err := r.value()
		if err != nil {
			return err
		}
		if first && r.index == 0 {
			if format := jsonFormatOf(raw); format != nil {
				return &FormatError{Name: r.name, format: format}
			}
		}
		item := Item{Place: at, Raw: raw}
		if !collection {
			if item.Kind = kindOf(raw); item.Kind == Source && r.index == 0 {
				r.share(raw)
			}
		}
		item.Length = int32(len(raw))
		r.index++
		if err := r.yield(item); err != nil {
			return err
		}
	}
	r.i++
	r.keep = r.i
	return nil
}

// recover reports what stands at i as a feature that cannot be read, and goes on
// behind it, where the file tells where that is. Else it gives the error back.
func (r *reading) recover(err error) error {
	var b *broken
	large := errors.Is(err, errTooLarge)
	if !errors.As(err, &b) && !large {
		return err
	}
	start := r.base + int64(r.i)
	line, column := r.place(start)
	if !r.sequence && !r.lines && !(r.index == 0 && r.nextLineOpens()) {
		return err
	}
	item := Item{Place: Place{Offset: start, Line: line, Column: column, Index: r.index}, Err: err}
	end := byte('\n')
	if r.sequence {
		end = recordSeparator
	} else {
		r.lines = true
	}
	if b != nil && !r.sequence {
		if n := bytes.IndexByte(r.buf[r.i:], '\n'); n >= 0 && b.at > start+int64(n) {
			item.Err = errors.New("not JSON: the line ends before it does")
		} else {
			item.Column += int(b.at - start)
		}
	}
	r.index++
	r.skipTo(end)
	return r.yield(item)
}

// nextLineOpens reports whether the line behind the one at i begins an object.
func (r *reading) nextLineOpens() bool {
	for r.keep = r.i; ; {
		if n := bytes.IndexByte(r.buf[r.i:], '\n') + 1; n > 0 && r.i+n < len(r.buf) {
			return r.buf[r.i+n] == '{'
		}
		if r.more() != nil {
			return false
		}
	}
}

// share takes what is not a source's own for attributes beside it.
func (r *reading) share(source []byte) {
	r.shared = map[string]json.RawMessage{}
	scan.Members(source, func(name, value []byte) bool {
		if !slices.Contains(sourceMembers, string(name)) {
			r.shared[string(name)] = bytes.Clone(value)
		}
		return true
	})
}

var sourceMembers = []string{"alt_id", "start_at", "end_at", "geometry", "geojson"}

// kindOf tells what an object is.
func kindOf(raw []byte) Kind {
	values, _ := members(raw, "", []string{"type", "alt_id", "start_at", "end_at"})
	if values[0] == nil && (values[1] != nil || values[2] != nil || values[3] != nil) {
		return Source
	}
	switch string(values[0]) {
	case `"Point"`, `"MultiPoint"`, `"LineString"`, `"MultiLineString"`, `"Polygon"`, `"MultiPolygon"`, `"GeometryCollection"`:
		return Geometry
	}
	return Feature
}
