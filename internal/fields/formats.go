package fields

import (
	"bytes"
	"compress/gzip"
	"io"
	"strings"

	"github.com/meti-go/meti/internal/scan"
)

// FormatError says that a file is of another format, and how to turn it into
// one that is read. It is [ErrInput].
type FormatError struct {
	Name   string
	format *format
}

// format is another program's business.
type format struct {
	name    string
	command string // with FILE for the file; empty where there is none
	note    string
}

const gdal = "ogr2ogr -f GeoJSONSeq -t_srs EPSG:4326 -lco COORDINATE_PRECISION=12 /vsistdout/ "

// Error says what the file is and prints the whole command.
func (e *FormatError) Error() string {
	text := e.Name + " is " + e.format.name
	if e.format.note != "" {
		text += "; " + e.format.note
	}
	if command := e.Command(); command != "" {
		text += ". What is read here comes from: " + command + " | meti check --id-property … -"
	}
	return text
}

// Command is the command that writes GeoJSON to its standard output, empty where
// there is none.
func (e *FormatError) Command() string {
	return fill(e.format.command, e.Name)
}

// Is reports whether target is ErrInput.
func (e *FormatError) Is(target error) bool { return target == ErrInput }

// fill puts a file's name into a command for a shell.
func fill(command, name string) string {
	if name == stdinName {
		return command // with the word FILE
	}
	before, after, found := strings.Cut(command, "FILE")
	if !found {
		return command
	}
	prefix := ""
	if i := strings.LastIndexByte(before, ' ') + 1; i < len(before) {
		before, prefix = before[:i], before[i:]
	}
	word := prefix + name
	if strings.HasPrefix(word, "-") {
		word = "./" + word
	}
	if strings.ContainsFunc(word, func(c rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:,@%+=", c)
	}) {
		word = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return before + word + after
}

// formatOf recognises other formats by their first bytes.
func formatOf(head []byte) *format {
	has := func(magic string) bool { return bytes.HasPrefix(head, []byte(magic)) }
	switch {
	case has("\x00\x00\x27\x0a"):
		return &format{name: "a Shapefile", command: gdal + "FILE"}
	case has("PK\x03\x04"):
		if bytes.Contains(head, []byte(".kml")) {
			return &format{name: "a KMZ file", command: gdal + "FILE"}
		}
		return &format{name: "a zip archive", command: gdal + "/vsizip/FILE"}
	case has("\x1f\x8b"):
		return gzipped(head)
	case has("SQLite format 3\x00"):
		return &format{name: "a GeoPackage", command: gdal + "FILE"}
	case has("fgb\x03"):
		return &format{name: "a FlatGeobuf file", command: gdal + "FILE"}
	case has("PAR1"):
		return &format{name: "a GeoParquet file", command: gdal + "FILE", note: "GDAL reads it where it was built with Parquet"}
	case has("\xff\xfe"), has("\xfe\xff"):
		return &format{name: "text in UTF-16", command: "iconv -f UTF-16 -t UTF-8 FILE"}
	case has("{\x00"):
		return &format{name: "text in UTF-16", command: "iconv -f UTF-16LE -t UTF-8 FILE"}
	case has("\x00{"):
		return &format{name: "text in UTF-16", command: "iconv -f UTF-16BE -t UTF-8 FILE"}
	}
	text := bytes.ToLower(bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n"))
	if len(text) == 0 || text[0] != '<' {
		return nil
	}
	for _, one := range []struct{ mark, name, layer string }{
		{"<kml", "a KML file", ""},
		{"<gpx", "a GPX file", " tracks"},
		{"opengis.net/gml", "a GML file", ""},
	} {
		if bytes.Contains(text, []byte(one.mark)) {
			return &format{name: one.name, command: gdal + "FILE" + one.layer}
		}
	}
	if bytes.Contains(text, []byte("<html")) || bytes.HasPrefix(text, []byte("<!doctype html")) {
		return &format{name: "a web page (HTML)", note: "perhaps of a server that wanted a login; download the file again"}
	}
	return &format{name: "an XML file", command: gdal + "FILE"}
}

// gzipped looks into what is compressed.
func gzipped(head []byte) *format {
	f := &format{name: "a gzip archive", command: "gunzip -c FILE"}
	if unpacked, err := gzip.NewReader(bytes.NewReader(head)); err == nil {
		inside := make([]byte, 512)
		n, _ := io.ReadFull(unpacked, inside)
		if inside = inside[:n]; formatOf(inside) != nil && inside[0] != 0x1f {
			f.command = gdal + "/vsigzip/FILE"
		} else if n > 262 && string(inside[257:262]) == "ustar" {
			f.command = gdal + "/vsitar/FILE"
		}
	}
	return f
}

// jsonFormatOf recognises other formats that are JSON.
func jsonFormatOf(object []byte) *format {
	esri := &format{name: "Esri JSON", command: gdal + "FILE", note: "ask the server for f=geojson instead of f=json"}
	var found *format
	typed, attributes, rings := false, false, false
	scan.Members(object, func(name, value []byte) bool {
		switch string(name) {
		case "type":
			if typed = true; value[0] == '"' && scan.Unquote(value) == "Topology" {
				found = &format{name: "TopoJSON", command: strings.Replace(gdal, "-t_srs", "-s_srs EPSG:4326 -t_srs", 1) + "FILE"}
			}
		case "geometryType", "spatialReference", "fieldAliases", "objectIdFieldName":
			found = esri
		case "attributes":
			attributes = true
		case "geometry":
			scan.Members(value, func(name, _ []byte) bool {
				rings = rings || string(name) == "rings"
				return !rings
			})
		}
		return true
	})
	if attributes && rings {
		found = esri
	}
	if typed && found == esri {
		return nil
	}
	return found
}
