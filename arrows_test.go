package meti_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/meti-go/meti"

// allowed says which packages of this module each one may import, directly or
// not. A package that is not listed fails the test until it is.
var allowed = map[string][]string{
	"":                                  {},
	"wire":                              {},
	"gen":                               {"wire", "internal/scan"},
	"authn":                             {"internal/safehttp"},
	"authn/filestore":                   {"authn", "internal/safehttp"},
	"api":                               {"gen", "wire", "authn", "internal/safehttp", "internal/scan"},
	"ledger":                            {"internal/scan"},
	"ledger/countries":                  {"ledger", "internal/scan"},
	"ledger/countries/internal/convert": {},
	"ledger/internal/robust":            {},
	"ledger/internal/proj":              {},
	"register":                          {"api", "gen", "wire", "authn", "internal/safehttp", "ledger", "internal/fields", "internal/scan"},
	"emulator":                          {"", "gen", "wire", "ledger", "ledger/countries", "internal/scan"},
	"emulator/internal/httpapi":         {"gen", "wire", "internal/scan"},
	"internal/specgen":                  {},
	"internal/specgen/sourcedoc":        {"gen", "wire", "internal/scan"},
	"internal/emulated":                 {"", "emulator", "gen", "wire", "ledger", "ledger/countries", "internal/scan"},
	"internal/fields":                   {"ledger", "internal/scan"},
	"internal/safehttp":                 {},
	"internal/scan":                     {},
	"internal/doctor":                   {"", "api", "authn", "gen", "wire", "internal/scan", "internal/safehttp"},
	"internal/doctor/factspage":         {"", "api", "authn", "gen", "wire", "internal/doctor", "internal/scan", "internal/safehttp"},
	"internal/release":                  {},
	"test/onefile":                      {},
	"internal/report":                   {},
	"cmd/meti": {"", "api", "authn", "authn/filestore", "internal/safehttp", "gen", "wire", "ledger", "ledger/countries", "register", "emulator",
		"internal/doctor", "internal/fields", "internal/report", "internal/scan", "testdata"},
}

// parts are internal to a package: who may import that has them too.
var parts = map[string]string{
	"ledger/internal/robust": "ledger", "ledger/internal/proj": "ledger",
	"emulator/internal/httpapi": "emulator",
}

// light packages stay free of what only the others need.
var light = []string{"wire", "gen", "authn", "api"}

var heavy = []string{
	"github.com/getkin/kin-openapi", "github.com/peterstace/simplefeatures", "github.com/tidwall",
	"modernc.org", "github.com/spf13", "github.com/go-jose", "github.com/paulmach",
	"go.opentelemetry.io", "github.com/oapi-codegen/oapi-codegen",
}

func list(t *testing.T, arguments ...string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", append([]string{"list"}, arguments...)...).Output()
	if err != nil {
		t.Fatalf("go list %v: %v", arguments, err)
	}
	return strings.Fields(string(out))
}

func short(path string) (string, bool) {
	name, ours := strings.CutPrefix(path, module)
	return strings.TrimPrefix(name, "/"), ours
}

func TestArrowsBetweenPackages(t *testing.T) {
	for _, path := range list(t, "./...") {
		name, _ := short(path)
		may, known := allowed[name]
		if !known {
			t.Errorf("package %q is not in the table of allowed imports", name)
			continue
		}
		for _, dependency := range list(t, "-deps", path) {
			other, ours := short(dependency)
			if whole, part := parts[other]; part && dependency != path {
				other = whole
			}
			if ours && other != name && !slices.Contains(may, other) {
				t.Errorf("%s imports %s", name, dependency)
			}
			if !slices.Contains(light, name) {
				continue
			}
			for _, prefix := range heavy {
				if strings.HasPrefix(dependency, prefix) {
					t.Errorf("%s compiles %s", name, dependency)
				}
			}
		}
	}
}

// TestFewModules: a program that imports the client compiles seven modules at
// most, this one included.
func TestFewModules(t *testing.T) {
	modules := list(t, "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "./api", "./authn")
	slices.Sort(modules)
	if modules = slices.Compact(modules); len(modules) > 7 {
		t.Errorf("%d modules: %v", len(modules), modules)
	}
}
