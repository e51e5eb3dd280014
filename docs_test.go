package meti_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// markdown gives the pages for readers, by their paths.
func markdown(t *testing.T) map[string]string {
	t.Helper()
	pages := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			pages[filepath.ToSlash(name)] = string(text)
		}
	}
	if len(pages) < 10 {
		t.Fatalf("only %d pages", len(pages))
	}
	return pages
}

var (
	link = regexp.MustCompile(`\]\(([^)#:]+)\)`)
	// ours is a path below a folder of this module.
	ours = regexp.MustCompile("`((?:api|authn|bench|cmd|docs|emulator|gen|internal|ledger|register|test|testdata|wire|\\.ci|\\.github)/[\\w./-]*)`")
)

// What the pages link to and name is there: files, folders and tests.
func TestPagesNameWhatIsThere(t *testing.T) {
	tests := testNames(t)
	for page, text := range markdown(t) {
		for _, found := range link.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(path.Join(path.Dir(page), found[1])); err != nil {
				t.Errorf("%s links to %s: %v", page, found[1], err)
			}
		}
		for _, found := range ours.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(found[1]); err != nil {
				t.Errorf("%s names %s: %v", page, found[1], err)
			}
		}
		for _, found := range regexp.MustCompile("`(Test[A-Z]\\w*)`").FindAllStringSubmatch(text, -1) {
			if !tests[found[1]] {
				t.Errorf("%s names %s, which is no test", page, found[1])
			}
		}
	}
}

// testNames are the tests of this module.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, depth := range []string{"*", "*/*", "*/*/*", "*/*/*/*"} {
		files, err := filepath.Glob(depth + "_test.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, found := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(text, -1) {
				names[string(found[1])] = true
			}
		}
	}
	return names
}

// CONTRIBUTING.md shows the tree: each folder, and each package that stands
// below internal.
func TestContributingShowsTheTree(t *testing.T) {
	_, tree, _ := strings.Cut(markdown(t)["CONTRIBUTING.md"], "## The tree\n")
	tree, _, _ = strings.Cut(tree, "\n## ")
	for _, pattern := range []string{"*", "internal/*"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			name = filepath.ToSlash(name)
			info, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			if !info.IsDir() || name[0] == '.' || name == "bin" || name == "dist" || name == "node_modules" || name == "internal" {
				continue
			}
			if !regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(name) + "[/`]").MatchString(tree) {
				t.Errorf("CONTRIBUTING.md does not show %s", name)
			}
		}
	}
}

// The functions of docs/architecture.md's table "Where is it" stand in the files
// that it names.
func TestArchitectureNamesFunctions(t *testing.T) {
	_, table, _ := strings.Cut(markdown(t)["docs/architecture.md"], "## Where is it\n")
	rows := regexp.MustCompile("(?m)^\\| .* \\| `([\\w/]+\\.go)` \\| `([\\w.]+)` \\|$").FindAllStringSubmatch(table, -1)
	if len(rows) < 10 {
		t.Fatalf("the table has %d rows", len(rows))
	}
	for _, row := range rows {
		file, err := parser.ParseFile(token.NewFileSet(), row[1], nil, parser.SkipObjectResolution)
		if err != nil {
			t.Error(err)
			continue
		}
		found := false
		for _, declaration := range file.Decls {
			if function, ok := declaration.(*ast.FuncDecl); ok {
				found = found || name(function) == row[2]
			}
		}
		if !found {
			t.Errorf("%s has no %s", row[1], row[2])
		}
	}
}

// name is that of a function, or of a method behind its type and a point.
func name(function *ast.FuncDecl) string {
	if function.Recv == nil {
		return function.Name.Name
	}
	receiver := function.Recv.List[0].Type
	if pointer, ok := receiver.(*ast.StarExpr); ok {
		receiver = pointer.X
	}
	if generic, ok := receiver.(*ast.IndexExpr); ok {
		receiver = generic.X
	}
	return receiver.(*ast.Ident).Name + "." + function.Name.Name
}
