package meti_test

import (
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

// What the pages link to and name is there.
func TestPagesNameWhatIsThere(t *testing.T) {
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
	}
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
			if !info.IsDir() || name[0] == '.' || name == "dist" || name == "internal" {
				continue
			}
			if !regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(name) + "[/`]").MatchString(tree) {
				t.Errorf("CONTRIBUTING.md does not show %s", name)
			}
		}
	}
}
