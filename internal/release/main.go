// Command release builds the archives of one version, for each system that is
// served, with their checksums:
//
//	go run ./internal/release v1.2.3 FOLDER
//
// Two builds of one commit are the same to the byte: paths and build ids are
// left out, and the archives carry the commit's time.
package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing/fstest"
	"time"
)

// targets are the systems and processors that are served.
var targets = []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64", "windows/amd64", "windows/arm64"}

func main() {
	log.SetFlags(0)
	log.SetPrefix("release: ")
	if len(os.Args) != 3 {
		log.Fatal("usage: release VERSION FOLDER")
	}
	if err := release(context.Background(), os.Args[1], os.Args[2], targets); err != nil {
		log.Fatal(err)
	}
}

var semantic = regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)

func release(ctx context.Context, version, folder string, targets []string) error {
	if !semantic.MatchString(version) {
		return fmt.Errorf("%q is no version such as v1.2.3", version)
	}
	out, err := exec.CommandContext(ctx, "git", "log", "-1", "--format=%ct").Output()
	if err != nil {
		return fmt.Errorf("the commit's time: %w", err)
	}
	seconds, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	var sums strings.Builder
	for _, target := range targets {
		name, archive, err := build(ctx, version, target, time.Unix(seconds, 0).UTC())
		if err != nil {
			return fmt.Errorf("%s: %w", target, err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), archive, 0o644); err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(archive), name)
	}
	return os.WriteFile(filepath.Join(folder, "SHA256SUMS"), []byte(sums.String()), 0o644)
}

// build makes the archive of one target.
func build(ctx context.Context, version, target string, at time.Time) (name string, archive []byte, err error) {
	system, processor, _ := strings.Cut(target, "/")
	temporary, err := os.MkdirTemp("", "meti-release-*")
	if err != nil {
		return "", nil, err
	}
	defer os.RemoveAll(temporary)
	program := "meti"
	if system == "windows" {
		program = "meti.exe"
	}
	path := filepath.Join(temporary, program)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -buildid= -X main.version="+version, "-o", path, "./cmd/meti")
	cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+processor, "CGO_ENABLED=0", "GOFLAGS=")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return "", nil, err
	}
	name = fmt.Sprintf("meti_%s_%s_%s", version, system, processor)
	files := fstest.MapFS{name: {Mode: fs.ModeDir | 0o755, ModTime: at}}
	for from, mode := range map[string]fs.FileMode{path: 0o755, "LICENSE": 0o644, "README.md": 0o644, "CHANGELOG.md": 0o644} {
		text, err := os.ReadFile(from)
		if err != nil {
			return "", nil, err
		}
		files[name+"/"+filepath.Base(from)] = &fstest.MapFile{Data: text, Mode: mode, ModTime: at}
	}
	var b bytes.Buffer
	if system == "windows" {
		zipped := zip.NewWriter(&b)
		err = errors.Join(zipped.AddFS(files), zipped.Close())
		return name + ".zip", b.Bytes(), err
	}
	compressed, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // a level that exists
	tarred := tar.NewWriter(compressed)
	err = errors.Join(tarred.AddFS(files), tarred.Close(), compressed.Close())
	return name + ".tar.gz", b.Bytes(), err
}
