package report

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"io"
	"math"
)

// table is what the page knows of the fields beside their geometry: one array
// for each column, and numbers in the place of texts that come again.
type table struct {
	ID       []string     `json:"id"`
	AltID    []string     `json:"alt"`
	Texts    []string     `json:"texts"`
	Country  []int        `json:"country"`
	Method   []int        `json:"method"`
	Year     []int        `json:"year"`
	Period   []int        `json:"period"`
	State    []state      `json:"state"`
	Hectares []*float64   `json:"ha"`
	Share    []*float64   `json:"share"`
	Said     map[int]said `json:"said"`
	Pairs    [][4]any     `json:"pairs"` // index, index or SSID, hectares, whether at most
	Offline  bool         `json:"offline"`
	Land     []string     `json:"land"` // the names of the backdrop's polygons
}

// said is what only some fields have.
type said struct {
	Protected string   `json:"protected,omitempty"`
	Problems  []string `json:"problems,omitempty"`
}

// pack writes the page's data: the length of the table, the table as JSON, and
// the geometry of fields and land; all packed by gzip.
//
// A geometry is its numbers of polygons, rings and positions, and then a step
// from each position to the next, in units of a millionth of a degree. Steps
// are taken apart into a low byte and the rest, a varint, and each kind stands
// together: gzip, which counts bytes, then needs a tenth less for them.
func (d *Document) pack(w io.Writer, pairs []pair) error {
	t := table{Said: map[int]said{}, Pairs: [][4]any{}, Offline: d.Offline}
	numbers := map[string]int{}
	number := func(text string) int {
		n, ok := numbers[text]
		if !ok {
			n = len(t.Texts)
			numbers[text] = n
			t.Texts = append(t.Texts, text)
		}
		return n
	}
	var fields, land shapes
	for i := range d.Fields {
		f := &d.Fields[i]
		t.ID, t.AltID = append(t.ID, f.ID), append(t.AltID, f.AltID)
		t.Country, t.Method = append(t.Country, number(f.Country)), append(t.Method, number(f.Methodology))
		t.Year, t.Period = append(t.Year, number(f.year())), append(t.Period, number(f.Period()))
		t.State = append(t.State, f.state())
		t.Hectares, t.Share = append(t.Hectares, rounded(f.Hectares, 1e6)), append(t.Share, rounded(f.Share, 1e4))
		if f.Protected != "" || len(f.Problems) > 0 {
			t.Said[i] = said{f.Protected, f.Problems}
		}
		fields.add(f.Polygons, 1e6)
	}
	for _, p := range pairs {
		var with any = p.J
		if p.J < 0 {
			with = p.ID
			if p.AltID != "" {
				with = p.AltID + " " + p.ID
			}
		}
		t.Pairs = append(t.Pairs, [4]any{p.I, with, rounded(p.Shared, 1e4), p.UpTo})
	}
	for name, rings := range d.outlines() {
		t.Land = append(t.Land, name)
		land.add([][][]float64{rings}, 1e3)
	}
	text, err := json.Marshal(t)
	if err != nil {
		return err
	}
	zipped, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	for _, part := range [][]byte{text, fields.counts, fields.low.Bytes(), fields.rest, land.counts, land.low.Bytes(), land.rest} {
		size := binary.LittleEndian.AppendUint32(nil, uint32(len(part)))
		if _, err := zipped.Write(append(size, part...)); err != nil {
			return err
		}
	}
	return zipped.Close()
}

// shapes are geometries on their way into the page.
type shapes struct {
	counts []byte // varints
	low    bytes.Buffer
	rest   []byte
	at     [2]int64
}

// add puts a geometry behind the others, in units of 1/scale degree. The last
// position of a ring is its first, and is left out.
func (s *shapes) add(polygons [][][]float64, scale float64) {
	s.counts = binary.AppendUvarint(s.counts, uint64(len(polygons)))
	for _, rings := range polygons {
		s.counts = binary.AppendUvarint(s.counts, uint64(len(rings)))
		for _, xy := range rings {
			n := len(xy) / 2
			if n > 1 && xy[0] == xy[2*n-2] && xy[1] == xy[2*n-1] {
				n--
			}
			s.counts = binary.AppendUvarint(s.counts, uint64(n))
			for i := range n {
				for axis := range 2 {
					to := int64(math.Round(xy[2*i+axis] * scale))
					step := to - s.at[axis]
					s.at[axis] = to
					folded := uint64(step)<<1 ^ uint64(step>>63)
					s.low.WriteByte(byte(folded))
					s.rest = binary.AppendUvarint(s.rest, folded>>8)
				}
			}
		}
	}
}

func rounded(v *float64, scale float64) *float64 {
	if v == nil || math.IsNaN(*v) || math.IsInf(*v, 0) {
		return nil
	}
	short := math.Round(*v*scale) / scale
	return &short
}
