// Package doctor finds out, with the user's own credentials, what stands in the
// way of calling METI, and which of the facts that openapi.yaml is written from
// hold.
//
//	doctor.go  the report: checks and facts
//	check.go   the checks, in order: environment, hosts, token, reading, target
//	sandbox.go the requests of the facts, and what keeps them harmless
//	fact.go    the questions to the sandbox, and what was answered
//	contract.go  the service's own openapi.json held against openapi.yaml
//	record.go  exchanges kept so that they can be published
//
// Nothing is changed: what is posted goes to a sandbox, which keeps nothing.
package doctor
