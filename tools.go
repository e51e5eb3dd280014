//go:build tools

package meti

// The generator is pinned here, beside the module's other dependencies, so
// that "go generate" runs the version that go.sum has seen. The go:generate
// lines themselves stand in meti.go: in this file the build tag would hide
// them.
import (
	_ "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen"
)
