package fields

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

// each reads all of in.
func each(in io.Reader, do func(Item)) error {
	return newReader("x", in, func(item Item) error {
		do(item)
		return nil
	}).all()
}

// repeated gives a text so many times.
type repeated struct {
	text string
	left int
	part string
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.part == "" {
		if r.left == 0 {
			return 0, io.EOF
		}
		r.left--
		r.part = r.text
	}
	n := copy(p, r.part)
	r.part = r.part[n:]
	return n, nil
}

func times(n int, text string) io.Reader { return &repeated{text: text, left: n} }

// Many broken lines: each is told, and none of the good ones is lost.
func TestBrokenLines(t *testing.T) {
	var text strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&text, "{\"id\":%d}\n{\"id\":%d,}\n", i, i)
	}
	good, bad := 0, 0
	err := each(strings.NewReader(text.String()), func(item Item) {
		switch {
		case item.Err == nil && string(item.Raw) == fmt.Sprintf(`{"id":%d}`, good) && item.Index == 2*good && item.Line == 2*good+1:
			good++
		case item.Err != nil && item.Index == 2*bad+1 && item.Line == 2*bad+2:
			bad++
		default:
			t.Errorf("after %d good and %d broken ones: %+v", good, bad, item)
		}
	})
	if good != 20_000 || bad != 20_000 || err != nil {
		t.Errorf("%d good and %d broken ones, %v", good, bad, err)
	}
}

// A beginning too long to tell what it is changes nothing.
func TestLongBeginning(t *testing.T) {
	name := strings.Repeat("x", 2*pieceSize)
	for _, text := range []string{
		`{"name":"` + name + `","features":[{"id":"a"}],"type":"FeatureCollection"}`,
		`{"name":"` + name + `","type":"FeatureCollection","features":[{"id":"a"}]}`,
		`{"name":"` + name + `","feature_collection":{"features":[{"id":"a"}],"type":"FeatureCollection"}}`,
	} {
		var found []string
		err := each(strings.NewReader(text), func(item Item) { found = append(found, string(item.Raw)) })
		if err != nil || len(found) != 1 || found[0] != `{"id":"a"}` {
			t.Errorf("%.60q: %q, %v", text, found, err)
		}
	}
}

// One feature may be large up to a limit; what is larger is refused without
// being held, and a line of that kind does not stand in the way of others.
func TestTooLarge(t *testing.T) {
	huge := func() io.Reader {
		return io.MultiReader(strings.NewReader(`{"id":"`), times(213, strings.Repeat("x", 1<<20)), strings.NewReader(`"}`))
	}
	for _, c := range []struct {
		name          string
		before, after string
		want          string
	}{
		{"collection", `{"type":"FeatureCollection","features":[{"id":1},`, `,{"id":3}]}`,
			`{"id":1} | x:1:50: it is larger than 64 MiB, the most that one feature may have; reading ended there, and the rest was not looked at`},
		{"lines", "{\"id\":1}\n", "\n{\"id\":3}\n", `{"id":1} | it is larger than 64 MiB, the most that one feature may have | {"id":3} | <nil>`},
		{"sequence", "\x1e{\"id\":1}\n\x1e", "\n\x1e{\"id\":3}\n", `{"id":1} | it is larger than 64 MiB, the most that one feature may have | {"id":3} | <nil>`},
		{"alone", "", "", `x:1:1: it is larger than 64 MiB, the most that one feature may have; reading ended there, and the rest was not looked at`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			var found []string
			err := each(io.MultiReader(strings.NewReader(c.before), huge(), strings.NewReader(c.after)), func(item Item) {
				if item.Err != nil {
					found = append(found, item.Err.Error())
				} else {
					found = append(found, string(item.Raw))
				}
			})
			if got := strings.Join(append(found, fmt.Sprint(err)), " | "); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > 3*MaxFeature {
				t.Errorf("%d MB were used for a feature of 213 MB", used>>20)
			}
		})
	}
	text := `{"id":"` + strings.Repeat("x", MaxFeature-9) + `"}`
	n := 0
	if err := each(strings.NewReader("["+text+","+text+"]"), func(item Item) { n += len(item.Raw) }); err != nil || n != 2*MaxFeature {
		t.Errorf("two of 64 MiB: %d bytes, %v", n, err)
	}
}

// Why a file could not be read to its end is told as it is.
func TestReadErrorIsKept(t *testing.T) {
	fire := errors.New("the disk is on fire")
	for _, text := range []string{"", "{\"id\":1}\n{\"id\":", `{"type":"FeatureCollection","features":[{"id":1},`, "[", `{"type":"FeatureCollection"`} {
		err := each(io.MultiReader(strings.NewReader(text), iotest.ErrReader(fire)), func(item Item) {
			if item.Err != nil {
				t.Errorf("%q: %v", text, item.Err)
			}
		})
		if !errors.Is(err, fire) || errors.Is(err, ErrInput) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Tens of thousands of features pass through in the memory of a few.
func TestFlatMemory(t *testing.T) {
	feature := `{"type":"Feature","id":"f","geometry":{"type":"Polygon","coordinates":[[` + strings.Repeat("[1.25,2.5],", 90) + `[1,2]]]}}`
	for _, form := range []struct{ name, head, between, tail string }{
		{"collection", `{"type":"FeatureCollection","features":[`, ",", "]}"},
		{"lines", "", "\n", "\n"},
	} {
		t.Run(form.name, func(t *testing.T) {
			const n = 20_000
			count := 0
			var most uint64
			var m runtime.MemStats
			in := io.MultiReader(strings.NewReader(form.head), times(n-1, feature+form.between), strings.NewReader(feature+form.tail))
			err := each(in, func(Item) {
				if count++; count%5000 == 0 {
					runtime.GC()
					runtime.ReadMemStats(&m)
					most = max(most, m.HeapAlloc)
				}
			})
			if err != nil || count != n || most > 8<<20 {
				t.Errorf("%d features, %d bytes of heap in use, %v", count, most, err)
			}
		})
	}
}
