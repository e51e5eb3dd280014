# make demo    the main job, with no credentials
# make test    everything that needs only Go
# The rest is for those who change the SDK; CONTRIBUTING.md says when.

GO ?= go
# How long the tests of one package may take: a machine may be slow, and only what
# hangs is to fail.
PATIENCE ?= 1h

.PHONY: demo test race generate validate lint lint-spec test-peers test-browser bench soak vendor-data vendor-leaflet foreign-shapes release test-release compat vulnerabilities secrets licences ci

demo:
	@$(GO) run ./cmd/meti demo

test:
	$(GO) test -timeout $(PATIENCE) ./...

race:
	$(GO) test -race -timeout $(PATIENCE) ./api ./authn ./emulator ./internal/... ./ledger/... ./register ./wire
	$(GO) test -race -timeout $(PATIENCE) -run 'TestScripts/(submit|signals|emulator)|TestSignal' ./cmd/meti

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

# The SDK against programs that we did not write. Needs npm, gdal-bin and redis-server.
test-peers:
	for folder in test/spec test/peers/authn test/peers/prism; do (cd $$folder && npm ci --silent --ignore-scripts) || exit 1; done
	$(GO) test -count=1 -tags peers -timeout $(PATIENCE) ./test/...

# What only a browser can show: the report, and the emulator's CORS. Needs npm and
# Debian's chromium, or CHROMIUM.
test-browser:
	cd test/browser && npm ci --silent --ignore-scripts
	$(GO) test -count=1 -v -timeout $(PATIENCE) -tags browser ./test/browser

# The SDK beside other clients, on this machine, in a quarter of an hour or so.
bench:
	cd bench && $(GO) generate ./... && $(GO) run . | $(GO) run ./paste list ../docs/performance.md
	cd bench && $(GO) run ./submit | $(GO) run ./paste submit ../docs/performance.md
	$(GO) test -run '^$$' -bench HTTP -benchtime 60x ./emulator | (cd bench && $(GO) run ./paste ledger ../docs/performance.md)
	$(GO) test -run '^$$' -bench . ./authn ./api ./ledger

# 1,000 registering processes killed at random: nothing lost, nothing twice.
soak:
	METI_SOAK_TRIALS=1000 $(GO) test -count=1 -timeout 60m -v -run TestKilledAtRandom ./register

# The built-in table of countries, from Natural Earth 10m. Needs npm.
vendor-data:
	d=$$(mktemp -d) && (cd $$d && npm pack --silent world-atlas@2.0.2 && tar xzf world-atlas-2.0.2.tgz) && \
	$(GO) run ./ledger/countries/internal/convert $$d/package/countries-10m.json ledger/countries/world.gz; \
	status=$$?; rm -rf $$d; exit $$status

# Leaflet, which every report carries. Needs npm.
vendor-leaflet:
	d=$$(mktemp -d) && (cd $$d && npm pack --silent leaflet@1.9.4 && tar xzf leaflet-1.9.4.tgz) && \
	for f in dist/leaflet.js dist/leaflet.css LICENSE; do sed -e 's/\r$$//' -e '/^\/\/# sourceMappingURL/d' $$d/package/$$f > internal/report/leaflet/$$(basename $$f) || exit 1; done; \
	status=$$?; rm -rf $$d; exit $$status

# Shapes that nobody here drew: counties of the United States, rounded to grids
# (exact in binary) that make many of them invalid, with the verdict of GEOS by
# GDAL. Needs npm and gdal-bin.
foreign-shapes:
	d=$$(mktemp -d) && (cd $$d && npm pack --silent us-atlas@3.0.1 && tar xzf us-atlas-3.0.1.tgz) && rm -f testdata/ledger/counties.json && \
	ogr2ogr -f GeoJSON -lco RFC7946=NO -lco COORDINATE_PRECISION=10 -dialect SQLite -sql "SELECT id || '/' || grid AS id, ST_IsValid(shape) AS valid, shape \
		FROM (SELECT id, grid, SnapToGrid(geometry, 1.0 / grid) AS shape FROM counties, (SELECT 1024 AS grid UNION SELECT 16 UNION SELECT 8 UNION SELECT 4) WHERE id % 45 = 1) \
		WHERE ST_NPoints(shape) <= 90" testdata/ledger/counties.json $$d/package/counties-10m.json; \
	status=$$?; rm -rf $$d; exit $$status

# Archives for Linux, macOS and Windows with their checksums, in dist/.
release:
	$(GO) run ./internal/release $(VERSION) dist

# Two builds of the release are the same to the byte. Compiles everything anew.
test-release:
	$(GO) test -count=1 -tags release ./internal/release

# What was taken away since the last release, from the contract and the Go API.
compat:
	.ci/compat

# Known vulnerabilities in what is called. Needs the network.
vulnerabilities:
	$(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./...

# Secrets in the whole history.
secrets:
	$(GO) run github.com/zricethezav/gitleaks/v8@v8.30.1 git --no-banner .

# The licences of what is compiled into the command and the library.
licences:
	$(GO) run github.com/google/go-licenses@v1.6.0 check --disallowed_types=forbidden,restricted,reciprocal ./cmd/meti ./api ./authn ./gen

ci:
	.ci/run
