# make demo    the main job, with no credentials
# make test    everything that needs only Go
# The rest is for those who change the SDK; CONTRIBUTING.md says when.

GO ?= go

.PHONY: demo test race generate validate lint lint-spec test-peers bench soak vendor-data ci

demo:
	@$(GO) run ./cmd/meti demo

test:
	$(GO) test ./...

race:
	$(GO) test -race ./...

generate:
	$(GO) generate ./...

# The spec against kin-openapi, examples included; a part of make test too.
validate:
	$(GO) test -count=1 -run 'TestSpec|TestScope' .

lint:
	$(GO) vet ./...
	golangci-lint run

# The spec against the two npm linters. Needs npm.
lint-spec:
	cd test/spec && npm ci --silent && npx spectral lint --fail-severity=hint ../../openapi.yaml && npx redocly lint --extends recommended-strict ../../openapi.yaml

# The SDK against programs that we did not write. Needs npm.
test-peers:
	cd test/spec && npm ci --silent
	$(GO) test -count=1 -tags peers -timeout 20m ./test/...

ci:
	.ci/run
