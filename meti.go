// Package meti is the front page of the Go SDK for the METI API, MillPont's
// ledger of sources.
//
// Import [github.com/meti-go/meti/api] to call the service and
// [github.com/meti-go/meti/authn] for its tokens. This package holds the
// contract alone: openapi.yaml, from which the rest is generated.
package meti
