package scan

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// thing has a field of each kind.
type thing struct {
	Text  string                     `json:"text,omitempty"`
	Flag  *bool                      `json:"flag,omitempty"`
	Size  float64                    `json:"size,omitempty"`
	Count int                        `json:"count,omitempty"`
	List  []string                   `json:"list,omitempty"`
	Raw   json.RawMessage            `json:"raw,omitempty"`
	When  time.Time                  `json:"when,omitempty"`
	Rest  map[string]json.RawMessage `json:"-"`
}

var things = KeysOf("text", "flag", "size", "count", "list", "raw", "when")

func (a *thing) ScanJSON(d *Decoder) {
	*a = thing{}
	for i, more := d.Member(true, things); more; i, more = d.Member(false, things) {
		fits := false
		switch i {
		case 0:
			fits = Text(d, &a.Text)
		case 1:
			fits = Pointer(d, &a.Flag, new(bool), Bool)
		case 2:
			fits = Float(d, &a.Size)
		case 3:
			fits = Int(d, &a.Count)
		case 4:
			fits = Texts(d, &a.List)
		case 5:
			fits = Raw(d, &a.Raw)
		case 6:
			fits = JSON(d, &a.When)
		}
		Rest(d, fits, &a.Rest)
	}
}

func (a *thing) write() ([]byte, error) {
	return Marshal(*a, a.Rest)
}

// FuzzDecoder expects of an array of things what encoding/json makes of its
// elements, whole and byte by byte: each member is in its field, or among the rest
// as it stands, and is written so that it is read as the same.
func FuzzDecoder(f *testing.F) {
	for _, text := range []string{
		`[]`, `null`, ` [ { } ] `, `[{}{}]`, `[{},]`, `[1]`, `[null]`, `[[]]`, `{"text":"a"}`, `[{"text":"a"`, `[{"text":"a"}]x`,
		`[{"text":"a","flag":true,"size":1.5,"count":2,"list":["a","b"],"raw":{"x":[1 ,2]},"when":"2026-01-31T00:00:00Z","more":1e400}]`,
		`[{"text":7,"flag":"true","size":"1.5","count":"2","list":["a",1,null],"when":1}]`, `[{"text":{},"text":"b","count":2.5,"count":null}]`,
		`[{"text":"\u00e9\ud800","list":[[]],"list":[{"a":"]"}]},{"more":" <&> "}]`, `[{"count":2.0,"size":-0,"":[],"TEXT":1}]`, `[{"size":1e999,"count":1e16}]`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		read := func(body io.Reader) (list []thing, err error) {
			var a thing
			err = Array(body, 1<<20, a.ScanJSON, func() error { list = append(list, a); return nil },
				func(number int) string { return strconv.Itoa(number) })
			return list, err
		}
		got, err := read(bytes.NewReader(data))
		if drip, dripErr := read(iotest.OneByteReader(bytes.NewReader(data))); !reflect.DeepEqual(drip, got) || (dripErr == nil) != (err == nil) {
			t.Errorf("byte by byte %+v %v, at once %+v %v", drip, dripErr, got, err)
		}
		var want []map[string]json.RawMessage
		sound := json.Unmarshal(data, &want) == nil && !bytes.Contains(data, []byte("null")) || string(bytes.TrimSpace(data)) == "null"
		if sound != (err == nil) && !bytes.Contains(data, []byte("null")) {
			t.Fatalf("%v, and encoding/json reads it: %v", err, sound)
		}
		if err != nil {
			return
		}
		if err := json.Unmarshal(data, &want); err != nil || len(want) != len(got) {
			t.Fatalf("%d things, and encoding/json has %d: %v", len(got), len(want), err)
		}
		for i, members := range want {
			text, err := got[i].write()
			if err != nil || !json.Valid(text) {
				t.Fatalf("%+v is written %s: %v", got[i], text, err)
			}
			var again thing
			if err := Unmarshal(text, &again); err != nil || !reflect.DeepEqual(again, got[i]) {
				t.Fatalf("%+v is written %s and read %+v: %v", got[i], text, again, err)
			}
			for name, value := range members {
				kept, rest := got[i].Rest[name]
				if rest && !bytes.Equal(kept, value) || !rest && !things.Has(name) {
					t.Errorf("%s is kept as %s, and was %s", name, kept, value)
				}
				var text string
				if name == "text" && json.Unmarshal(value, &text) == nil && got[i].Text != text {
					t.Errorf("the text is %q, not %q", got[i].Text, text)
				}
				var list []string
				if name == "list" && json.Unmarshal(value, &list) == nil && !reflect.DeepEqual(got[i].List, list) {
					t.Errorf("the list is %q, not %q", got[i].List, list)
				}
			}
		}
	})
}

// TestArrayIsCapped: an element larger than the limit is an error that names it.
func TestArrayIsCapped(t *testing.T) {
	var a thing
	body := strings.NewReader(`[{"text":"a"},{"text":"` + strings.Repeat("b", 4<<20) + `"}]`)
	err := Array(body, 1<<20, a.ScanJSON, func() error { return nil }, func(number int) string { return "thing " + strconv.Itoa(number) })
	if err == nil || err.Error() != "thing 2 is larger than 1 MiB" {
		t.Error(err)
	}
}
