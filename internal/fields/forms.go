package fields

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

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

// reading walks once over an input, whatever form it has.
type reading struct {
	*window
	yield func(Item) error // its error ends the reading

	index    int
	lines    bool // newline-delimited: what is broken ends with its line
	sequence bool // RFC 8142: what is broken ends before the next record separator
	whole
}

const (
	recordSeparator = 0x1E // RFC 8142
	byteOrderMark   = "\xef\xbb\xbf"
)

// all reads everything. What ends it early is an error: an *InputError, a
// *FormatError, one of yield's, or one of the input's.
func (r *reading) all() error {
	err := r.start()
	for first := true; err == nil; first = false {
		c, end := r.next()
		place := r.here()
		switch {
		case errors.Is(end, io.EOF) && first:
			return &InputError{Name: r.name, Err: errors.New("the input is empty")}
		case errors.Is(end, io.EOF):
			return nil
		case end != nil:
			return end
		case c == recordSeparator:
			r.sequence = true
			r.i++
		case c == '[' && first:
			err = r.elements(false)
		case c == '{' && r.opensCollection():
			err = r.collection(false)
		case c == '{':
			err = r.recover(place, r.feature(false))
			r.lines = r.lines || first && r.here().Line == place.Line
		default:
			err = r.recover(place, r.unexpected(r.i))
		}
	}
	return err
}

// start skips a byte order mark and refuses what is no GeoJSON.
func (r *reading) start() error {
	for len(r.buf) < 4 && r.more() == nil {
	}
	if text := bytes.TrimLeft(r.buf, byteOrderMark+" \t\r\n"); len(text) == 0 || bytes.IndexByte([]byte("{[\x1e"), text[0]) < 0 {
		for len(r.buf) < 4096 && r.more() == nil { // a format tells itself within this
		}
	}
	if r.err != nil && !errors.Is(r.err, io.EOF) {
		return r.err
	}
	if format := formatOf(r.buf); format != nil {
		return &FormatError{Name: r.name, format: *format}
	}
	if bytes.HasPrefix(r.buf, []byte(byteOrderMark)) {
		r.i, r.begin, r.counted = 3, 3, 3
	}
	return nil
}

// here is the place of a feature that begins at i.
func (r *reading) here() Place {
	line, column := r.at(r.i)
	return Place{Offset: r.base + int64(r.i), Line: line, Column: column, Index: r.index}
}

// opensCollection looks ahead whether the object at i is a FeatureCollection or
// the wrapper around one, so that it is walked through and not read in whole.
// Where it is broken, reading it says why.
func (r *reading) opensCollection() bool {
	r.mark = r.i
	defer func() { r.i, r.mark = r.mark, -1 }()
	r.i++
	for first := true; ; first = false {
		name, more, err := r.member(first)
		if !more || err != nil {
			return false
		}
		if c := r.buf[r.i]; name == "features" && c == '[' || name == "feature_collection" && c == '{' {
			return true
		}
		value, err := r.value()
		if err != nil || name == "type" {
			return err == nil && unquoted(value) == "FeatureCollection"
		}
	}
}

// feature hands over what stands at i. The members of a FeatureCollection are
// Features whatever they say.
func (r *reading) feature(ofCollection bool) error {
	item := Item{Place: r.here()}
	var err error
	if item.Raw, err = r.value(); err != nil {
		return err
	}
	item.Length = int32(len(item.Raw))
	if r.index == 0 {
		if format := jsonFormatOf(item.Raw); format != nil {
			return &FormatError{Name: r.name, format: *format}
		}
	}
	if !ofCollection {
		if item.Kind = kindOf(item.Raw); item.Kind == Source && r.index == 0 {
			r.share(item.Raw)
		}
	}
	r.index++
	return r.yield(item)
}

// elements reads an array of features.
func (r *reading) elements(ofCollection bool) error {
	r.i++
	for first := true; ; first = false {
		more, err := r.item(first, ']')
		if more {
			err = r.feature(ofCollection)
		}
		if err != nil || !more {
			return err
		}
	}
}

// collection walks through a FeatureCollection, or the wrapper around one.
func (r *reading) collection(wrapped bool) error {
	r.i++
	features, wrapper := false, false
	own := map[string]json.RawMessage{} // the other members
	for first := true; ; first = false {
		name, more, err := r.member(first)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		switch c := r.buf[r.i]; {
		case name == "features" && features, name == "feature_collection" && wrapper:
			return r.broken(r.i, errors.New("the collection has two members named "+name))
		case name == "features" && c == '[':
			features = true
			err = r.elements(true)
		case name == "feature_collection" && c == '{' && !wrapped:
			wrapper = true
			err = r.collection(true)
		default:
			var value []byte
			value, err = r.value()
			if own[name] != nil {
				r.repeated = append(r.repeated, name)
			}
			own[name] = bytes.Clone(value)
			if name == "crs" && ledger.CheckCRS(r.crs) == nil { // a foreign one is not forgotten
				r.crs = own[name]
			}
		}
		if err != nil {
			return err
		}
	}
	var why error
	switch kind := unquoted(own["type"]); {
	case wrapper:
		delete(own, "type")
		delete(own, "crs")
		r.shared = own
		return nil
	case kind != "FeatureCollection":
		why = fmt.Errorf(`the type of an object with features is %q, not "FeatureCollection"`, kind)
	case !features:
		why = errors.New("a FeatureCollection without an array of features")
	default:
		return nil
	}
	wrong := r.broken(r.i-1, why)
	wrong.Rest = false // all of the collection was read
	return wrong
}

// recover hands over what stands at i as a feature that cannot be read, for the
// reason err, and goes on behind it, where the file tells where that is. Else it
// gives err back.
func (r *reading) recover(place Place, err error) error {
	var wrong *InputError
	if !errors.As(err, &wrong) || !r.sequence && !r.lines && !(r.index == 0 && r.nextLineOpens()) {
		return err
	}
	item := Item{Place: place, Err: wrong.Err}
	end := byte(recordSeparator)
	if !r.sequence {
		r.lines, end = true, '\n'
		if wrong.Line == place.Line {
			item.Column = wrong.Column
		} else {
			item.Err = errors.New("not JSON: the line ends before it does")
		}
	}
	r.index++
	// Lines were counted as far as it is broken, which may be behind its end.
	r.line, r.begin, r.counted = place.Line, place.Offset-int64(place.Column-1), int(place.Offset-r.base)
	r.skipTo(end)
	return r.yield(item)
}

// nextLineOpens reports whether the line behind the one at i begins an object.
func (r *reading) nextLineOpens() bool {
	for {
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
		switch string(name) {
		case "alt_id", "start_at", "end_at", "geometry", "geojson":
		default:
			r.shared[string(name)] = bytes.Clone(value)
		}
		return true
	})
}

// kindOf tells what an object is.
func kindOf(raw []byte) Kind {
	values, _ := members(raw, "", "type", "alt_id", "start_at", "end_at")
	switch string(values[0]) {
	case "":
		if values[1] != nil || values[2] != nil || values[3] != nil {
			return Source
		}
	case `"Point"`, `"MultiPoint"`, `"LineString"`, `"MultiLineString"`, `"Polygon"`, `"MultiPolygon"`, `"GeometryCollection"`:
		return Geometry
	}
	return Feature
}

// unquoted is the text of a JSON string, and other values as they stand.
func unquoted(value []byte) string {
	if len(value) == 0 || value[0] != '"' {
		return string(value)
	}
	return scan.Unquote(value)
}
