package report

import (
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"io"
	"math"
	"strings"
)

// pack writes the page's data, packed by gzip: a table, and the geometry of the
// fields and of the land behind them. The table is JSON: a list for each column,
// and numbers in the place of texts that come again.
//
// A geometry is its numbers of polygons, rings and positions, and then a step
// from each position to the next, in units of a millionth of a degree. Steps
// are taken apart into a low byte and the rest, a varint, and each kind stands
// together: gzip, which counts bytes, then needs a tenth less for them.
func (d *Document) pack(w io.Writer, pairs []pair) error {
	columns, texts, said := map[string][]any{}, map[string]int{}, map[int]any{}
	text := func(s string) int {
		if _, ok := texts[s]; !ok {
			texts[s] = len(texts)
			columns["texts"] = append(columns["texts"], s)
		}
		return texts[s]
	}
	var fields, land shapes
	for i := range d.Fields {
		f := &d.Fields[i]
		for name, value := range map[string]any{
			"id": f.ID, "alt": f.AltID, "state": int(f.State), "ha": rounded(f.Hectares, 1e6), "share": rounded(f.Share, 1e4),
			"country": text(f.Country), "method": text(f.Methodology), "year": text(f.year()), "period": text(f.Period()),
		} {
			columns[name] = append(columns[name], value)
		}
		if f.Protected != "" || len(f.Problems) > 0 {
			said[i] = map[string]any{"protected": f.Protected, "problems": f.Problems}
		}
		fields.add(f.Polygons, 1e6)
	}
	columns["pairs"], columns["land"], columns["said"] = []any{}, []any{}, []any{said}
	for _, p := range pairs { // index, index or name, hectares, whether at most
		var with any = p.J
		if p.J < 0 {
			with = strings.TrimSpace(p.AltID + " " + p.ID)
		}
		columns["pairs"] = append(columns["pairs"], []any{p.I, with, rounded(p.Shared, 1e4), p.UpTo})
	}
	for name, rings := range d.outlines() {
		columns["land"] = append(columns["land"], name)
		land.add([][][]float64{rings}, 1e3)
	}
	table, err := json.Marshal(columns)
	if err != nil {
		return err
	}
	zipped, _ := gzip.NewWriterLevel(w, gzip.BestCompression)
	for _, part := range [][]byte{table, fields.counts, fields.low, fields.rest, land.counts, land.low, land.rest} {
		size := binary.LittleEndian.AppendUint32(nil, uint32(len(part)))
		if _, err := zipped.Write(append(size, part...)); err != nil {
			return err
		}
	}
	return zipped.Close()
}

// shapes are geometries on their way into the page.
type shapes struct {
	counts, low, rest []byte
	at                [2]int64
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
					s.low = append(s.low, byte(folded))
					s.rest = binary.AppendUvarint(s.rest, folded>>8)
				}
			}
		}
	}
}

func rounded(v *float64, scale float64) any {
	if v == nil {
		return nil
	}
	return math.Round(*v*scale) / scale
}
