package ledger

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// layoutOfFiles is the order in which the files of the package may be read: none needs
// one that comes after it.
var layoutOfFiles = []string{
	"doc.go", "problem.go", "text.go", "time.go", "geojson.go", "shape.go", "country.go", "validity.go",
	"lint.go", "repair.go", "feature.go", "shrink.go", "conflict.go", "overlap.go", "check.go",
}

func TestNoFileNeedsOneAboveIt(t *testing.T) {
	set := token.NewFileSet()
	var files []*ast.File
	for _, name := range layoutOfFiles {
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	all, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		if !strings.HasSuffix(name, "_test.go") && !slices.Contains(layoutOfFiles, name) {
			t.Errorf("%s has no place in the order", name)
		}
	}
	info := types.Info{Uses: make(map[*ast.Ident]types.Object), Selections: make(map[*ast.SelectorExpr]*types.Selection)}
	// What is imported is left unknown: only the package's own names count.
	config := types.Config{Error: func(error) {}, Importer: nothing{}}
	pkg, _ := config.Check("ledger", set, files, &info)
	arrows := 0
	look := func(at token.Pos, object types.Object) {
		if object == nil || object.Pkg() != pkg || !object.Pos().IsValid() {
			return
		}
		if field, ok := object.(*types.Var); ok && !field.IsField() && object.Parent() != pkg.Scope() {
			return // of a function
		}
		from, to := set.Position(at), set.Position(object.Pos())
		arrows++
		if slices.Index(layoutOfFiles, to.Filename) > slices.Index(layoutOfFiles, from.Filename) {
			t.Errorf("%v needs %s of %s", from, object.Name(), to.Filename)
		}
	}
	for ident, object := range info.Uses {
		look(ident.Pos(), object)
	}
	for selector, selection := range info.Selections {
		look(selector.Pos(), selection.Obj())
	}
	if arrows < 500 {
		t.Errorf("only %d uses were seen", arrows)
	}
}

type nothing struct{}

func (nothing) Import(path string) (*types.Package, error) {
	pkg := types.NewPackage(path, filepath.Base(path))
	pkg.MarkComplete()
	return pkg, nil
}
