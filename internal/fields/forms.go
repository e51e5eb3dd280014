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

const (
	recordSeparator = 0x1E // RFC 8142
	byteOrderMark   = "\xef\xbb\xbf"
)

// all reads everything.
func (r *reader) all() error {
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
			err = r.list(']', func() error { return r.feature(false) })
		case c == '{':
			err = r.recover(place, r.object(false))
		default:
			r.keep = r.i
			err = r.recover(place, r.unexpected(r.i))
		}
	}
	return err
}

// start skips a byte order mark and refuses what is no GeoJSON.
func (r *reader) start() error {
	for len(r.buf) < 4096 && r.more() == nil { // a format tells itself within this
	}
	if r.err != nil && !errors.Is(r.err, io.EOF) {
		return r.err
	}
	if format := formatOf(r.name, r.buf); format != nil {
		return format
	}
	if bytes.HasPrefix(r.buf, []byte(byteOrderMark)) {
		r.i, r.begin, r.counted = 3, 3, 3
	}
	return nil
}

// here is the place of a feature that begins at i.
func (r *reader) here() Place {
	line, column := r.at(r.i)
	return Place{Offset: r.base + int64(r.i), Line: line, Column: column, Index: r.index}
}

// feature hands over the value at i.
func (r *reader) feature(ofCollection bool) error {
	place := r.here()
	raw, err := r.value()
	if err != nil {
		return err
	}
	return r.handOver(place, raw, ofCollection)
}

func (r *reader) handOver(place Place, raw []byte, ofCollection bool) error {
	item := Item{Place: place, Raw: raw}
	item.Length = int32(len(raw))
	if r.index == 0 {
		if format := jsonFormatOf(r.name, raw); format != nil {
			return format
		}
	}
	if !ofCollection {
		if item.Kind = kindOf(raw); item.Kind == Source && r.index == 0 {
			r.shared = map[string]json.RawMessage{} // what is not the source's own
			scan.Members(raw, func(name, value []byte) bool {
				switch string(name) {
				case "alt_id", "start_at", "end_at", "geometry", "geojson":
				default:
					r.shared[string(name)] = bytes.Clone(value)
				}
				return true
			})
		}
	}
	r.index++
	return r.yield(item)
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

// object reads an object that stands alone: a FeatureCollection, the wrapper around
// one, or else a feature. It is kept in memory until it turns out to be one of the
// former two, whose features are handed over one by one.
func (r *reader) object(wrapped bool) error {
	place := r.here()
	if !wrapped {
		r.keep = r.i
	}
	kind, inner := "", ""               // inner is the member that holds the features
	own := map[string]json.RawMessage{} // the other members of a collection
	note := func(name, value []byte) bool {
		if own[string(name)] != nil {
			r.repeated = append(r.repeated, string(name))
		}
		own[string(name)] = bytes.Clone(value)
		if string(name) == "crs" && ledger.CheckCRS(r.crs) == nil { // a foreign one is not forgotten
			r.crs = own["crs"]
		}
		return true
	}
	err := r.list('}', func() error {
		if r.buf[r.i] != '"' {
			return r.unexpected(r.i)
		}
		quoted, err := r.value()
		if err != nil {
			return err
		}
		name := scan.Unquote(quoted)
		if err := r.pass(':'); err != nil {
			return err
		}
		c := r.buf[r.i]
		holds := name == "features" && c == '[' || name == "feature_collection" && c == '{' && !wrapped
		switch {
		case inner == name:
			return r.broken(r.i, errors.New("the collection has two members named "+name))
		case holds && (kind == "" || kind == "FeatureCollection"):
			if r.keep >= 0 {
				scan.Members(r.buf[r.keep:], func(before, value []byte) bool { return string(before) != name && note(before, value) })
				r.keep = -1
			}
			inner = name
			if name == "features" {
				return r.list(']', func() error { return r.feature(true) })
			}
			return r.object(true)
		}
		value, err := r.value()
		if name == "type" {
			kind = unquoted(value)
		}
		if err == nil && r.keep < 0 {
			note([]byte(name), value)
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case inner == "feature_collection":
		delete(own, "type")
		delete(own, "crs")
		r.shared = own
		return nil
	case inner == "" && kind != "FeatureCollection" && !wrapped:
		raw := r.buf[r.keep:r.i]
		r.keep = -1
		return r.handOver(place, raw, false)
	case kind != "FeatureCollection":
		err = fmt.Errorf(`the type of an object with features is %q, not "FeatureCollection"`, kind)
	case inner == "":
		err = errors.New("a FeatureCollection without an array of features")
	default:
		return nil
	}
	r.keep = -1
	wrong := r.broken(r.i-1, err)
	wrong.Rest = false // all of the collection was read
	return wrong
}

// recover hands over what was to be read at a place as a feature that cannot be
// read, for the reason err, and goes on behind it. It gives err back where the rest
// cannot be told from it: within a collection, and where there is no other feature.
func (r *reader) recover(place Place, err error) error {
	var wrong *InputError
	if !errors.As(err, &wrong) || r.keep < 0 {
		return err
	}
	r.i, r.keep = r.keep, -1
	// Lines were counted as far as it is broken, which may be behind its end.
	r.line, r.begin, r.counted = place.Line, place.Offset-int64(place.Column-1), r.i
	item := Item{Place: place, Err: wrong.Err}
	end := byte(recordSeparator)
	if !r.sequence {
		end = '\n'
		if wrong.Line == place.Line {
			item.Column = wrong.Column
		} else {
			item.Err = errors.New("not JSON: the line ends before it does")
		}
	}
	// On to the end of its line; where it runs over several, or comes first and may be
	// a header, of the one before the next feature.
	alone := wrong.Line == place.Line && r.index > 0
	for {
		n := bytes.IndexByte(r.buf[r.i:], end)
		if n < 0 {
			r.i = len(r.buf)
			if r.more() == nil {
				continue
			}
			if r.index == 0 {
				return err
			}
			break
		}
		r.i += n + 1
		if c, _ := r.next(); r.sequence || c == '{' || alone {
			break
		}
	}
	r.index++
	return r.yield(item)
}

// unquoted is the text of a JSON string, and other values as they stand.
func unquoted(value []byte) string {
	if len(value) == 0 || value[0] != '"' {
		return string(value)
	}
	return scan.Unquote(value)
}
