package register

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/meti-go/meti/internal/features"
)

// ErrInput says that the input cannot be read as GeoJSON. Nothing was sent.
var ErrInput = errors.New("the input is not GeoJSON")

// input is what is registered, open to be read at any place.
type input struct {
	file    *os.File
	name    string
	spooled string // the private copy to remove, where there is one
	besides bool   // it is a file that another one may be put beside
}

// openUnder is openInput under a context. A pipe that nobody writes to blocks
// whoever reads it, so the reading is left behind when ctx ends; what it holds
// is given back when the pipe moves.
func openUnder(ctx context.Context, path string, stdin io.Reader) (*input, error) {
	type opened struct {
		in  *input
		err error
	}
	done := make(chan opened, 1)
	go func() {
		in, err := openInput(path, stdin)
		done <- opened{in, err}
	}()
	select {
	case o := <-done:
		return o.in, o.err
	case <-ctx.Done():
		go func() {
			if o := <-done; o.err == nil {
				o.in.close()
			}
		}()
		return nil, context.Cause(ctx)
	}
}

// openInput opens a file. What is no regular file, such as a pipe, is copied
// to a private temporary file, for it has to be read twice.
func openInput(path string, stdin io.Reader) (*input, error) {
	if path == "" || path == "-" {
		if stdin == nil {
			return nil, errors.New("register: no input")
		}
		return spool("standard input", stdin)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a folder", path)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	if info.Mode().IsRegular() {
		// /dev/stdin may well be a file.
		device := strings.HasPrefix(path, "/dev/") || strings.HasPrefix(path, "/proc/")
		return &input{file: file, name: path, besides: !device}, nil
	}
	defer file.Close()
	return spool(path, file)
}

func spool(name string, from io.Reader) (*input, error) {
	file, err := os.CreateTemp("", "meti-submit-*") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("%s has to be copied to a temporary file: %w", name, err)
	}
	in := &input{file: file, name: name, spooled: file.Name()}
	// Where a file may be removed while it is open, a kill leaves nothing behind.
	if os.Remove(file.Name()) == nil {
		in.spooled = ""
	}
	if _, err := io.Copy(file, from); err != nil {
		in.close()
		return nil, fmt.Errorf("copying %s to a temporary file: %w", name, err)
	}
	return in, nil
}

func (in *input) close() {
	in.file.Close()
	if in.spooled != "" {
		os.Remove(in.spooled)
	}
}

// at reads one feature again.
func (in *input) at(offset int64, length int) ([]byte, error) {
	raw := make([]byte, length)
	if _, err := in.file.ReadAt(raw, offset); err != nil {
		return nil, fmt.Errorf("reading %s again: %w", in.name, err)
	}
	return raw, nil
}

// each calls do for each feature, in order. raw is valid until do returns.
func (in *input) each(do func(offset int64, raw []byte) error) error {
	var foreign string
	reader := features.NewReader(io.NewSectionReader(in.file, 0, 1<<62))
	reader.Member = func(name string, value []byte) {
		if name == "crs" && !wgs84(value) {
			foreign = clip(string(value), 200)
		}
	}
	for item, err := range reader.All() {
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrInput, in.name, err)
		}
		if err := do(item.Offset, item.Raw); err != nil {
			return err
		}
	}
	if foreign != "" {
		return fmt.Errorf("%w: %s is in %s; METI takes WGS84 longitude and latitude (RFC 7946, section 4)", ErrInput, in.name, foreign)
	}
	return nil
}

// wgs84 reports whether the crs member of GeoJSON 2008 names what RFC 7946 has
// settled on.
func wgs84(crs []byte) bool {
	text := strings.ToUpper(string(crs))
	return text == "NULL" || strings.Contains(text, "CRS84") || strings.Contains(text, "EPSG:4326") || strings.Contains(text, "EPSG::4326")
}

func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "") + "…"
}
