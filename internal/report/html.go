package report

import (
	"bufio"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
)

// mostListed is up to how many fields the document lists them all.
const mostListed = 1000

//go:embed page.html page.css map.js leaflet
var files embed.FS

func file(name string) string {
	text, _ := files.ReadFile(name)
	return string(text)
}

// HTML writes the report as one document that needs nothing else: its policy
// forbids the browser to load anything.
func (d *Document) HTML(w io.Writer) error {
	own, others := d.pairs()
	var said []int
	for i := range d.Fields {
		if len(d.Fields[i].what()) > 0 {
			said = append(said, i)
		}
	}
	// Styles and scripts are written as they stand, outside of the template: it
	// would change them, and the page allows only what has these hashes.
	notice := "/*\n" + file("leaflet/LICENSE") + "*/\n"
	styles := []string{notice + file("leaflet/leaflet.css"), file("page.css")}
	scripts := []string{notice + file("leaflet/leaflet.js"), file("map.js")}
	view := map[string]any{
		"Document": d, "Summary": d.Summary(), "Own": own, "Others": others, "AllPairs": len(own) + len(others), "Said": said,
		"Listed": len(d.Fields) <= mostListed, "Unlisted": len(d.Fields) - len(said),
		"States": []State{Clear, Own, Other, Both, Invalid},
		"Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; style-src" + hashes(styles) + "; script-src" + hashes(scripts),
	}
	out := bufio.NewWriterSize(w, 1<<16)
	page := page()
	if err := page.ExecuteTemplate(out, "head", view); err != nil {
		return err
	}
	for _, s := range styles {
		fmt.Fprintf(out, "<style>%s</style>\n", s)
	}
	if err := page.ExecuteTemplate(out, "body", view); err != nil {
		return err
	}
	fmt.Fprint(out, `<script type="text/plain" id="packed">`)
	encoder := base64.NewEncoder(base64.StdEncoding, out)
	if err := errors.Join(d.pack(encoder, append(own, others...)), encoder.Close()); err != nil {
		return err
	}
	fmt.Fprintln(out, "</script>")
	for _, s := range scripts {
		fmt.Fprintf(out, "<script>%s</script>\n", s)
	}
	fmt.Fprint(out, "</body>\n</html>\n")
	return out.Flush()
}

// hashes are a policy's names for texts.
func hashes(texts []string) string {
	var b strings.Builder
	for _, text := range texts {
		sum := sha256.Sum256([]byte(text))
		fmt.Fprintf(&b, " 'sha256-%s'", base64.StdEncoding.EncodeToString(sum[:]))
	}
	return b.String()
}

func page() *template.Template {
	known := func(text func(float64) string) func(*float64) string {
		return func(v *float64) string {
			if v == nil {
				return "–"
			}
			return text(*v)
		}
	}
	area := func(v float64) string { return humanize.FormatFloat("#,###.##", v) }
	return template.Must(template.New("").Funcs(template.FuncMap{
		"number": func(n int) string { return humanize.Comma(int64(n)) }, "area": area, "ha": known(area),
		"percent": known(percent), "share": func(p pair, f *Field) string { return percent(p.ShareOf(f)) }, "least": percent,
		"field": func(d *Document, i int) *Field { return &d.Fields[i] }, "what": (*Field).what,
		"counts": func(name string, list []*Count) map[string]any { return map[string]any{"Name": name, "List": list} },
		"width":  func(n, of int) string { return strconv.FormatFloat(1000*float64(n)/float64(max(of, 1)), 'f', 2, 64) },
	}).Parse(file("page.html")))
}

// what is all there is to say of a field beyond that it is there, in sentences.
func (f *Field) what() (list []string) {
	own, foreign := 0, []string{}
	for _, p := range f.With {
		if p.Own {
			own++
		} else {
			foreign = append(foreign, p.ID)
		}
	}
	if own > 0 {
		list = append(list, fmt.Sprintf("Conflicts with own fields: %d.", own))
	}
	switch {
	case len(foreign) > 0:
		list = append(list, "Conflicts with other custodians’ sources: "+strings.Join(foreign, ", ")+".")
	case f.Conflict && own == 0:
		list = append(list, "In conflict; with what is not said.")
	}
	if f.Protected != "" {
		list = append(list, "Overlaps a protected area: "+f.Protected+".")
	}
	return append(list, f.Problems...)
}

func percent(share float64) string {
	switch p := 100 * share; {
	case p > 0 && p < 0.1:
		return "< 0.1 %"
	case p == math.Trunc(p):
		return strconv.FormatFloat(p, 'f', 0, 64) + " %"
	default:
		return strconv.FormatFloat(p, 'f', 1, 64) + " %"
	}
}
