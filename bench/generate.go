package main

//go:generate go run ./internal/plainspec ../openapi.yaml plain.yaml open.yaml
//go:generate go tool oapi-codegen -config oapi-codegen.yaml -package plain -o peers/plain/plain.gen.go plain.yaml
//go:generate go tool oapi-codegen -config oapi-codegen.yaml -package open -o peers/open/open.gen.go open.yaml
//go:generate go tool ogen --config ogen.yaml --package ogen --target peers/ogen --clean plain.yaml
