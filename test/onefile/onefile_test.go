// Package onefile shows what a change of METI costs: it makes one in a copy of the
// module, and uses it from the command to the emulator.
package onefile

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// module is a copy of this one.
type module struct {
	*testing.T
	root string
}

func copyModule(t *testing.T) module {
	m := module{t, t.TempDir()}
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel("../..", path)
		if err != nil {
			return err
		}
		to := filepath.Join(m.root, name)
		switch {
		case entry.IsDir() && slices.Contains([]string{".git", "bench", "test", "node_modules"}, entry.Name()):
			return filepath.SkipDir
		case entry.IsDir():
			return os.MkdirAll(to, 0o755)
		case !entry.Type().IsRegular():
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, text, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// edit puts text behind a line of a file that occurs once.
func (m module) edit(name, behind, text string) {
	m.Helper()
	path := filepath.Join(m.root, name)
	old, err := os.ReadFile(path)
	if err != nil {
		m.Fatal(err)
	}
	if strings.Count(string(old), behind) != 1 {
		m.Fatalf("%s has %q %d times", name, behind, strings.Count(string(old), behind))
	}
	m.write(name, strings.Replace(string(old), behind, behind+text, 1))
}

func (m module) write(name, text string) {
	m.Helper()
	if err := os.WriteFile(filepath.Join(m.root, name), []byte(text), 0o644); err != nil {
		m.Fatal(err)
	}
}

// run runs go in the copy, and expects success, or if says is not empty a failure
// that says it.
func (m module) run(says string, arguments ...string) {
	m.Helper()
	cmd := exec.CommandContext(m.Context(), "go", arguments...)
	cmd.Dir = m.root
	out, err := cmd.CombinedOutput()
	if text := strings.Join(strings.Fields(string(out)), " "); (err != nil) != (says != "") || !strings.Contains(text, says) {
		m.Fatalf("go %s: %v, and should say %q\n%s", strings.Join(arguments, " "), err, says, out)
	}
}

const checks = "TestSpec|TestScope|TestForms|TestEveryFilter|TestFilter|TestContract|TestFields|TestScripts/onefile"

// TestOneFile: a field that METI answers and takes at registration costs an edit
// of openapi.yaml, and so does a filter but for the line by which the emulator
// applies it.
func TestOneFile(t *testing.T) {
	m := copyModule(t)
	answered := strings.NewReplacer("X", "soil_type", "Y", "Kind of soil.").Replace(property) +
		strings.NewReplacer("X", "crop", "Y", "What grows there.").Replace(property)
	taken := strings.ReplaceAll(answered, "          nullable: true\n", "")
	m.edit("openapi.yaml", "      additionalProperties:\n        description: A field that METI added since.\n      properties:\n", answered)
	m.edit("openapi.yaml", "      description: What a registration may say of its sources.\n      x-provenance: [S, L]\n      properties:\n", taken)
	m.edit("openapi.yaml", `          description: Leave this many sources out first.
          x-provenance: [E]
          schema:
            type: integer
            minimum: 0
          example: 0
`, `        - name: crop
          in: query
          description: Only sources where this grows.
          x-provenance: [E]
          schema:
            type: string
          example: maize
`)
	m.run("run make generate first", "test", "-run", "TestSpec", ".")
	m.run("", "generate", ".")
	m.run("+ field Source.SoilType string", "test", "-run", "TestPublicAPI/(gen|api)", ".")
	m.run("", "test", "-run", "TestPublicAPI/(gen|api)", "-update", ".")

	m.write("cmd/meti/testdata/script/onefile.txtar", `emulator
code 0 meti check --soil-type loam --crop maize one.json
code 0 meti sources create --soil-type loam --crop maize one.json
stdout '"crop":"maize".*"soil_type":"loam"'
code 0 meti submit --soil-type clay --crop rice two.json
code 0 meti sources list --crop rice
stdout -count=1 '"crop":"rice".*"soil_type":"clay"'
code 0 meti -v sources list --crop wheat
! stdout .
! stderr 'does not know'
-- one.json --
{"type":"FeatureCollection","features":[{"type":"Feature","id":"one","properties":{"start_at":"2026-01-01T00:00:00Z","end_at":"2026-12-31T00:00:00Z"},"geometry":{"type":"Polygon","coordinates":[[[-93.6012,42.0301],[-93.5951,42.0301],[-93.5951,42.0346],[-93.6012,42.0346],[-93.6012,42.0301]]]}}]}
-- two.json --
{"type":"FeatureCollection","features":[{"type":"Feature","id":"two","properties":{"start_at":"2026-01-01T00:00:00Z","end_at":"2026-12-31T00:00:00Z"},"geometry":{"type":"Polygon","coordinates":[[[-94.6012,42.0301],[-94.5951,42.0301],[-94.5951,42.0346],[-94.6012,42.0346],[-94.6012,42.0301]]]}}]}
`)
	m.write("api/onefile_test.go", `package api

import "testing"

func TestFilterAndFieldAreThere(t *testing.T) {
	var s Source
	if err := s.UnmarshalJSON([]byte("{\"soil_type\":\"loam\"}")); err != nil || s.SoilType != "loam" || s.AdditionalProperties != nil {
		t.Errorf("%+v %v", s, err)
	}
	if got := (Filter{Crop: "maize"}).Query().Encode(); got != "crop=maize" {
		t.Error(got)
	}
	_ = SourceCreateFeatures{SoilType: &s.SoilType}
}
`)
	m.run("", "test", "-timeout", "1h", "-run", checks, ".", "./api", "./emulator", "./cmd/meti")
}

// property is a field of openapi.yaml, of a name X and a description Y.
const property = `        X:
          type: string
          nullable: true
          description: Y
          x-provenance: [E]
`

// TestDecidedByHand: what nobody can derive stops with a sentence that says where
// it is to be decided.
func TestDecidedByHand(t *testing.T) {
	m := copyModule(t)
	const attributes = "      description: What a registration may say of its sources.\n      x-provenance: [S, L]\n      properties:\n"
	m.edit("openapi.yaml", attributes, "        output: {type: string, description: What comes of it., x-provenance: [E]}\n")
	m.run("openapi.yaml has output, and the command has a flag --output of its own beside it: give the field another name in the table flags of internal/specgen/fields.go",
		"run", "./internal/specgen")
	m.edit("internal/specgen/fields.go", "var flags = map[string]string{\n", "	\"output\": \"outcome\",\n")
	m.run("", "run", "./internal/specgen")

	m.edit("openapi.yaml", "  /sources/{source_id}:\n    x-provenance: [E]\n", `    patch:
      operationId: updateSource
      tags: [sources]
      summary: Change one source
      description: Changes one source.
      security:
        - auth0: ["write:sources"]
      responses:
        "204":
          $ref: "#/components/responses/DeletedWithoutContent"
`)
	m.run("openapi.yaml, updateSource: say by x-repeatable, true or false, whether it may be carried out twice", "run", "./internal/specgen")
	m.edit("openapi.yaml", "      operationId: updateSource\n", "      x-repeatable: false\n")
	m.run("", "generate", ".")
	m.run("openapi.yaml has the operation updateSource, and no method of api carries it out: write one in api/sources.go", "test", "-run", "TestSpecOperations", ".")
	m.run("missing method UpdateSource", "vet", "./emulator")
}
