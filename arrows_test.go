package meti_test

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
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
	"internal/fields":                   {"gen", "wire", "ledger", "internal/scan"},
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
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' })
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

// TestArrowsBetweenFiles: the files of api and authn can be put in an order in which
// none uses what an earlier one declares, so that each can be read by itself first.
func TestArrowsBetweenFiles(t *testing.T) {
	for _, folder := range []string{"api", "authn"} {
		uses := filesUsed(t, folder)
		if len(uses) < 5 {
			t.Fatalf("%s: files use one another only so: %v", folder, uses)
		}
		for len(uses) > 0 {
			before := len(uses)
			maps.DeleteFunc(uses, func(_ string, others map[string]bool) bool {
				for other := range others {
					if uses[other] != nil {
						return false
					}
				}
				return true
			})
			if len(uses) == before {
				t.Errorf("%s: these files use one another in a circle, or what does: %v", folder, uses)
				break
			}
		}
	}
}

// filesUsed says of each file of a package in which others what it uses is declared.
func filesUsed(t *testing.T, folder string) map[string]map[string]bool {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	set, files, uses := token.NewFileSet(), []*ast.File(nil), map[string]map[string]bool{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files, uses[name] = append(files, file), map[string]bool{}
	}
	info := types.Info{Uses: map[*ast.Ident]types.Object{}}
	exports := map[string]string{}
	for _, line := range list(t, "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", "./"+folder) {
		path, export, _ := strings.Cut(line, " ")
		exports[path] = export
	}
	config := types.Config{Importer: importer.ForCompiler(set, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })}
	pkg, err := config.Check(module+"/"+folder, set, files, &info)
	if err != nil {
		t.Fatal(err)
	}
	for identifier, object := range info.Uses {
		local := object.Parent() != nil && object.Parent() != pkg.Scope() // a variable of a function
		if object.Pkg() != pkg || local {
			continue
		}
		from, to := set.Position(identifier.Pos()).Filename, set.Position(object.Pos()).Filename
		if from != to {
			uses[from][to] = true
		}
	}
	return uses
}
