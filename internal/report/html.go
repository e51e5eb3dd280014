package report

import (
	"bufio"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"math"
	"strconv"
	"strings"
)

// mostListed is up to how many fields the document lists them all.
const mostListed = 1000

// The styles and scripts are written as they stand, outside of the template:
// it would change them, and the page allows only what has these hashes.
var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
	//go:embed map.js
	mapJS string
	//go:embed leaflet/leaflet.js
	leafletJS string
	//go:embed leaflet/leaflet.css
	leafletCSS string
	//go:embed leaflet/LICENSE
	leafletLicense string
)

// view is what the template sees.
type view struct {
	*Document
	Summary
	Policy    string
	OwnPairs  []pair
	AllPairs  int
	Others    []pair
	Said      []int
	Listed    bool
	Unlisted  int // fields that are only in the map
	Threshold string
	States    []string
}

// HTML writes the report as one document that needs nothing else: its policy
// forbids the browser to load anything.
func (d *Document) HTML(w io.Writer) error {
	pairs := d.pairs()
	v := view{Document: d, Summary: d.Summary(), AllPairs: len(pairs), Listed: len(d.Fields) <= mostListed,
		Threshold: percent(d.Overlap), States: states[:]}
	v.OwnPairs = pairs
	for i, p := range pairs {
		if !p.Own {
			v.OwnPairs, v.Others = pairs[:i], pairs[i:]
			break
		}
	}
	for i := range d.Fields {
		if d.Fields[i].said() {
			v.Said = append(v.Said, i)
		}
	}
	v.Unlisted = len(d.Fields) - len(v.Said)
	styles := []string{"/*\n" + leafletLicense + "*/\n" + leafletCSS, pageCSS}
	scripts := []string{"/*\n" + leafletLicense + "*/\n" + leafletJS, mapJS}
	v.Policy = "default-src 'none'; base-uri 'none'; form-action 'none'; style-src" + hashes(styles) + "; script-src" + hashes(scripts)

	out := bufio.NewWriterSize(w, 1<<16)
	if err := page().ExecuteTemplate(out, "head", v); err != nil {
		return err
	}
	for _, s := range styles {
		fmt.Fprintf(out, "<style>%s</style>\n", s)
	}
	if err := page().ExecuteTemplate(out, "body", v); err != nil {
		return err
	}
	_, _ = out.WriteString("<script type=\"text/plain\" id=\"packed\">")
	encoder := base64.NewEncoder(base64.StdEncoding, out)
	if err := d.pack(encoder, pairs); err != nil {
		return err
	}
	if err := encoder.Close(); err != nil {
		return err
	}
	_, _ = out.WriteString("</script>\n")
	for _, s := range scripts {
		fmt.Fprintf(out, "<script>%s</script>\n", s)
	}
	_, _ = out.WriteString("</body>\n</html>\n")
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
	return template.Must(template.New("").Funcs(template.FuncMap{
		"number":    func(n int) string { return grouped(float64(n), 0) },
		"ha":        func(h *float64) string { return orDash(h, func(v float64) string { return grouped(v, 2) }) },
		"area":      func(v float64) string { return grouped(v, 2) },
		"percent":   func(v *float64) string { return orDash(v, percent) },
		"share":     func(p pair, f *Field) string { v := p.ShareOf(f); return orDash(&v, percent) },
		"acres":     func(v float64) string { return grouped(v*AcresPerHectare, 2) },
		"field":     func(d *Document, i int) *Field { return &d.Fields[i] },
		"what":      (*Field).what,
		"dict":      func(name string, list []Count) map[string]any { return map[string]any{"Name": name, "List": list} },
		"stateName": func(i int) string { return stateNames[i] },
		"width":     func(n, of int) string { return strconv.FormatFloat(1000*float64(n)/float64(max(of, 1)), 'f', 2, 64) },
	}).Parse(pageHTML))
}

func orDash(v *float64, text func(float64) string) string {
	if v == nil {
		return "–"
	}
	return text(*v)
}

// Period is the field's time in words.
func (f *Field) Period() string {
	if f.Start == "" && f.End == "" {
		return ""
	}
	return f.Start + " – " + f.End
}

// what is all there is to say of a field, a sentence each.
func (f *Field) what() []string {
	var list []string
	mine, foreign := 0, []string{}
	for _, p := range f.With {
		if p.Own {
			mine++
		} else {
			foreign = append(foreign, p.ID)
		}
	}
	if mine > 0 {
		list = append(list, fmt.Sprintf("Conflicts with %s of your own.", many(mine, "field")))
	}
	switch {
	case len(foreign) > 0:
		list = append(list, fmt.Sprintf("Conflicts with %s of other custodians: %s.", many(len(foreign), "source"), strings.Join(foreign, ", ")))
	case f.Conflict && mine == 0:
		list = append(list, "In conflict; with what is not said.")
	}
	if f.Protected != "" {
		list = append(list, "Overlaps a protected area: "+f.Protected+".")
	}
	return append(list, f.Problems...)
}

func many(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return digits(n) + " " + what + "s"
}

func digits(n int) string { return strconv.Itoa(n) }

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

// grouped writes a number with commas between thousands.
func grouped(v float64, decimals int) string {
	text := strconv.FormatFloat(v, 'f', decimals, 64)
	whole, fraction, _ := strings.Cut(text, ".")
	for i := len(whole) - 3; i > 0 && whole[i-1] != '-'; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if decimals == 0 {
		return whole
	}
	return whole + "." + fraction
}
