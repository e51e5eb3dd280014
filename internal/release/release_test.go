//go:build release

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Two releases of one commit are the same to the byte, their checksums are
// right, and the program in them says which version it is.
func TestReleaseIsReproducible(t *testing.T) {
	t.Chdir("../..")
	here := runtime.GOOS + "/" + runtime.GOARCH
	first, second := t.TempDir(), t.TempDir()
	for _, folder := range []string{first, second} {
		if err := release(t.Context(), "v1.2.3-test", folder, []string{here}); err != nil {
			t.Fatal(err)
		}
	}
	sums, err := os.ReadFile(filepath.Join(first, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(sums)) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		one, err := os.ReadFile(filepath.Join(first, name))
		if err != nil {
			t.Fatal(err)
		}
		other, err := os.ReadFile(filepath.Join(second, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(one, other) {
			t.Errorf("%s: two builds differ", name)
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(one)); got != sum {
			t.Errorf("%s: checksum %s, and it is %s", name, sum, got)
		}
		if runtime.GOOS != "windows" {
			runs(t, one)
		}
	}
}

// runs takes the program out of an archive, and asks it for its version.
func runs(t *testing.T, archive []byte) {
	t.Helper()
	plain, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	files := tar.NewReader(plain)
	var header *tar.Header
	for header == nil || filepath.Base(header.Name) != "meti" || header.Typeflag != tar.TypeReg {
		if header, err = files.Next(); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(t.TempDir(), "meti")
	text, err := io.ReadAll(files)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, text, os.FileMode(header.Mode)); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), program, "version").Output()
	if err != nil || !strings.HasPrefix(string(out), "meti v1.2.3-test ") {
		t.Errorf("%v: %q", err, out)
	}
}
