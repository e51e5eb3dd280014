package main

import (
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// Scopes are checked for one way of authentication, so that a contract which
// offers another one beside it is not taken for one that asks for both.
func TestTwoWaysOfAuthenticationAreRefused(t *testing.T) {
	t.Chdir("../..")
	spec, err := openapi3.NewLoader().LoadFromFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tables(spec); err != nil {
		t.Fatal(err)
	}
	operation := spec.Paths.Find("/sources").Get
	*operation.Security = append(*operation.Security, openapi3.NewSecurityRequirement().Authenticate("another"))
	if _, err := tables(spec); err == nil || !strings.Contains(err.Error(), "listSources: security says two ways") {
		t.Errorf("it is taken: %v", err)
	}
}
