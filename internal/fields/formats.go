package fields

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"regexp"
	"slices"
	"strings"
)

// FormatError says that a file is of another format, and how to turn it into
// one that is read. It is [ErrInput].
type FormatError struct {
	Name   string // of the file
	format string
	// command is another program's, with FILE for the file; empty where there is
	// none.
	command, note string
}

const gdal = "ogr2ogr -f GeoJSONSeq -t_srs EPSG:4326 -lco COORDINATE_PRECISION=12 /vsistdout/ "

// Error says what the file is and prints the whole command.
func (e *FormatError) Error() string {
	text := e.Name + " is " + e.format
	if e.note != "" {
		text += "; " + e.note
	}
	if command := e.Command(); command != "" {
		text += ". What is read here comes from: " + command + " | meti check --id-property … -"
	}
	return text
}

// Command is the command that writes GeoJSON to its standard output, empty where
// there is none.
func (e *FormatError) Command() string { return fill(e.command, e.Name) }

// Is reports whether target is ErrInput.
func (e *FormatError) Is(target error) bool { return target == ErrInput }

// fill puts a file's name into a command for a shell.
func fill(command, name string) string {
	if name == stdinName {
		return command // with the word FILE
	}
	if strings.HasPrefix(name, "-") {
		name = "./" + name
	}
	if !plainName.MatchString(name) {
		name = "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
	}
	return strings.Replace(command, "FILE", name, 1)
}

// plainName is a name that a shell takes as it is.
var plainName = regexp.MustCompile(`^[\w./:,@%+=-]+$`)

// formats are told by how a file begins and by what stands somewhere in the
// beginning, in lower case; the first one counts.
var formats = []struct{ begins, holds, format, command, note string }{
	{"\x00\x00\x27\x0a", "", "a Shapefile", gdal + "FILE", ""},
	{"PK\x03\x04", ".kml", "a KMZ file", gdal + "FILE", ""},
	{"PK\x03\x04", "", "a zip archive", gdal + "/vsizip/FILE", ""},
	{"\x1f\x8b", "", "a gzip archive", "gunzip -c FILE", ""},
	{"SQLite format 3\x00", "", "a GeoPackage", gdal + "FILE", ""},
	{"fgb\x03", "", "a FlatGeobuf file", gdal + "FILE", ""},
	{"PAR1", "", "a GeoParquet file", gdal + "FILE", "GDAL reads it where it was built with Parquet"},
	{"\xff\xfe", "", "text in UTF-16", "iconv -f UTF-16 -t UTF-8 FILE", ""},
	{"\xfe\xff", "", "text in UTF-16", "iconv -f UTF-16 -t UTF-8 FILE", ""},
	{"{\x00", "", "text in UTF-16", "iconv -f UTF-16LE -t UTF-8 FILE", ""},
	{"\x00{", "", "text in UTF-16", "iconv -f UTF-16BE -t UTF-8 FILE", ""},
	{"<", "<kml", "a KML file", gdal + "FILE", ""},
	{"<", "<gpx", "a GPX file", gdal + "FILE tracks", ""},
	{"<", "opengis.net/gml", "a GML file", gdal + "FILE", ""},
	{"<", "<html", "a web page (HTML)", "", "perhaps of a server that wanted a login; download the file again"},
	{"<", "<!doctype html", "a web page (HTML)", "", "perhaps of a server that wanted a login; download the file again"},
	{"<", "", "an XML file", gdal + "FILE", ""},
}

// formatOf recognises other formats by how they begin.
func formatOf(name string, head []byte) *FormatError {
	text := bytes.ToLower(head)
	markup := bytes.TrimLeft(bytes.TrimPrefix(head, []byte(byteOrderMark)), " \t\r\n")
	for _, f := range formats {
		begins := bytes.HasPrefix(head, []byte(f.begins)) || f.begins == "<" && bytes.HasPrefix(markup, []byte("<"))
		if !begins || !bytes.Contains(text, []byte(f.holds)) {
			continue
		}
		switch f.begins {
		case "\x1f\x8b":
			if virtual := archiveOf(head); virtual != "" {
				f.command = gdal + virtual + "FILE"
			}
		case "PK\x03\x04":
			if folder := folderIn(head); folder != "" && f.holds == "" {
				f.command += folder
			}
		}
		return &FormatError{name, f.format, f.command, f.note}
	}
	return nil
}

// folderIn is the folder that the first file of a zip archive lies in, as it goes
// behind the archive's name; empty for none, or one that a shell would not take as it is.
func folderIn(head []byte) string {
	const name = 30 // where the name begins; its length is told before
	if len(head) < name {
		return ""
	}
	first := head[name:min(len(head), name+int(binary.LittleEndian.Uint16(head[26:])))]
	if end := bytes.LastIndexByte(first, '/'); end > 0 && plainName.Match(first) {
		return "/" + string(first[:end])
	}
	return ""
}

// archiveOf is how GDAL names a gzip archive whose content is for it, empty for
// GeoJSON.
func archiveOf(head []byte) string {
	unpacked, err := gzip.NewReader(bytes.NewReader(head))
	if err != nil {
		return ""
	}
	inside := make([]byte, 512)
	n, _ := io.ReadFull(unpacked, inside)
	if inside = inside[:n]; n > 262 && string(inside[257:262]) == "ustar" {
		return "/vsitar/"
	} else if n > 0 && inside[0] != 0x1f && formatOf("", inside) != nil {
		return "/vsigzip/"
	}
	return ""
}

// jsonFormatOf recognises other formats that are JSON.
func jsonFormatOf(name string, object []byte) *FormatError {
	values, _ := members(object, "", "type", "attributes", "geometry", "geometryType", "spatialReference", "fieldAliases", "objectIdFieldName")
	kind, attributes := values[0], values[1]
	rings, _ := members(values[2], "", "rings")
	switch {
	case unquoted(kind) == "Topology":
		return &FormatError{name, "TopoJSON", strings.Replace(gdal, "-t_srs", "-s_srs EPSG:4326 -t_srs", 1) + "FILE", ""}
	case kind == nil && (attributes != nil && rings[0] != nil || slices.ContainsFunc(values[3:], func(value []byte) bool { return value != nil })):
		return &FormatError{name, "Esri JSON", gdal + "FILE", "ask the server for f=geojson instead of f=json"}
	}
	return nil
}
