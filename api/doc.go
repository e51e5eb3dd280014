// Package api is the client of the METI API, MillPont's ledger of sources.
package api
