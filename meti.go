// Package meti is the front page of the Go SDK for the METI API, MillPont's
// ledger of sources.
//
// Import [github.com/meti-go/meti/api] to call the service and
// [github.com/meti-go/meti/authn] for its tokens. This package holds the
// contract alone: openapi.yaml, from which package gen is generated.
package meti

import _ "embed"

//go:generate go run ./internal/specgen
//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen -config internal/specgen/oapi-codegen.yaml openapi.yaml
//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen -config internal/specgen/httpapi.yaml openapi.yaml
//go:generate go run ./internal/specgen/sourcedoc
//go:generate go run ./internal/doctor/factspage docs/facts.md

// OpenAPI is openapi.yaml, the contract that package gen is generated from.
//
//go:embed openapi.yaml
var OpenAPI []byte
