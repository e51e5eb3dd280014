package meti_test

import (
	"flag"
	"fmt"
	"go/types"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

var update = flag.Bool("update", false, "write the golden files")

// public are the packages that programs import.
var public = []string{"wire", "gen", "authn", "authn/filestore", "api", "ledger", "ledger/countries", "register", "emulator"}

// TestPublicAPI shows what a change, or an upgrade of the generator, does to
// the Go API: "go test -run TestPublicAPI -update ." accepts it.
func TestPublicAPI(t *testing.T) {
	for _, name := range public {
		t.Run(name, func(t *testing.T) {
			got := surface(t, module+"/"+name)
			golden := filepath.Join("testdata", "surface", strings.ReplaceAll(name, "/", "-")+".txt")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")) {
				t.Error(line)
			}
		})
	}
}

// surface lists a package's exported identifiers, one per line.
func surface(t *testing.T, path string) string {
	loaded, err := packages.Load(&packages.Config{Mode: packages.NeedTypes | packages.NeedImports | packages.NeedName | packages.NeedExportFile}, path)
	if err != nil || len(loaded) != 1 || len(loaded[0].Errors) > 0 {
		t.Fatalf("load %s: %v %v", path, err, loaded)
	}
	pkg := loaded[0].Types
	qualify := func(other *types.Package) string {
		if other == pkg {
			return ""
		}
		return other.Path()
	}
	var out strings.Builder
	for _, name := range pkg.Scope().Names() {
		object := pkg.Scope().Lookup(name)
		if !object.Exported() {
			continue
		}
		named, isType := object.(*types.TypeName)
		if !isType || named.IsAlias() {
			line := types.ObjectString(object, qualify)
			if constant, ok := object.(*types.Const); ok {
				line += " = " + constant.Val().ExactString()
			}
			fmt.Fprintln(&out, line)
			continue
		}
		fmt.Fprintf(&out, "type %s%s\n", name, kind(named.Type().Underlying(), qualify))
		if structure, ok := named.Type().Underlying().(*types.Struct); ok {
			for i := range structure.NumFields() {
				if field := structure.Field(i); field.Exported() {
					fmt.Fprintf(&out, "field %s.%s %s %s\n", name, field.Name(), types.TypeString(field.Type(), qualify), structure.Tag(i))
				}
			}
		}
		methods := types.NewMethodSet(types.NewPointer(named.Type()))
		for i := range methods.Len() {
			if method := methods.At(i).Obj(); method.Exported() && !types.IsInterface(named.Type()) {
				fmt.Fprintf(&out, "method %s.%s%s\n", name, method.Name(), strings.TrimPrefix(types.TypeString(method.Type(), qualify), "func"))
			}
		}
	}
	return out.String()
}

// kind is a type's underlying form, without a struct's fields.
func kind(underlying types.Type, qualify types.Qualifier) string {
	if _, ok := underlying.(*types.Struct); ok {
		return " struct"
	}
	return " " + types.TypeString(underlying, qualify)
}
