//go:build peers

// Package spec has generators that we did not write read openapi.yaml.
package spec

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func run(t *testing.T, folder, name string, arguments ...string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), name, arguments...)
	command.Dir = folder
	command.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, arguments, err, out)
	}
}

func specFile(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTypeScriptTypesCompile(t *testing.T) {
	types := filepath.Join(t.TempDir(), "meti.d.ts")
	run(t, ".", "npx", "openapi-typescript", specFile(t), "-o", types)
	run(t, ".", "npx", "tsc", "--noEmit", "--strict", types)
}

func TestOgenClientCompiles(t *testing.T) {
	folder := t.TempDir()
	run(t, folder, "go", "mod", "init", "example.test/ogenclient")
	run(t, folder, "go", "run", "github.com/ogen-go/ogen/cmd/ogen@v1.24.0", "--target", "oas", "--package", "oas", specFile(t))
	run(t, folder, "go", "get", "github.com/ogen-go/ogen@v1.24.0")
	run(t, folder, "go", "mod", "tidy")
	run(t, folder, "go", "build", "./...")
}
