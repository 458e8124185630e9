# Everything there is to do with this repository. `make` lists it.

VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS     := -s -w -X main.version=$(VERSION)
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME    ?= 30s

export CGO_ENABLED ?= 0

.DEFAULT_GOAL := help
.PHONY: help build generate run test race e2e lint fmt cover fuzz bench screenshots man clean

help: ## list what there is to make
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/clusterd, a static binary
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/clusterd ./cmd/clusterd

generate: ## compile the kernel's part anew (needs Debian's clang, llvm and libbpf-dev)
	go generate ./internal/traffic/ebpf

run: build ## run the example cluster with its dashboard
	bin/clusterd -c examples/cluster.toml

test: ## run all tests, those of the whole program included
	go test -timeout 30m ./...

race: ## run all tests with the race detector (needs a C compiler)
	CGO_ENABLED=1 go test -race -timeout 40m ./...

e2e: ## run only the tests of the whole program, and say what they do
	go test -count=1 -timeout 30m -v ./e2e

lint: ## check format, vet, staticcheck and go.mod; change nothing
	@test -z "$$(gofmt -l .)" || { echo "not formatted (make fmt):"; gofmt -l .; exit 1; }
	go vet ./...
	GOARCH=arm64 go vet ./...
	go run $(STATICCHECK) ./...
	go mod tidy -diff

fmt: ## format the code
	gofmt -w .

cover: ## write coverage.html, and say how much of the code the tests reach
	go test -coverprofile=cover.out -coverpkg=./cmd/...,./internal/... ./...
	go tool cover -html=cover.out -o coverage.html
	go tool cover -func=cover.out | tail -n 1

fuzz: ## fuzz every fuzz target for FUZZTIME (30s) each
	@grep -rl --include='*_test.go' '^func Fuzz' . | while read -r file; do \
		grep -o '^func Fuzz[A-Za-z]*' "$$file" | cut -c6- | while read -r target; do \
			echo "go test -fuzz=^$$target$$ -fuzztime=$(FUZZTIME) $$(dirname $$file)"; \
			go test -run='^$$' -fuzz="^$$target$$" -fuzztime=$(FUZZTIME) "$$(dirname $$file)" || exit 1; \
		done || exit 1; \
	done

bench: ## measure start, respawn, idling, adopted servers, the relay, and others of its kind (needs wrk, h2load, node, nginx and taskset, and may make control groups; haproxy, pm2 and supervisord as well, to compare with); writes bench/RESULTS.md
	go run ./bench -out bench/RESULTS.md

screenshots: build ## draw the pictures in docs, and record docs/dashboard.cast, from a real run (needs tmux)
	go run ./docs/screenshot -clusterd bin/clusterd -o docs

man: build ## write man pages into bin/man/man1
	bin/clusterd man bin/man/man1

clean: ## remove what was built
	rm -rf bin cover.out coverage.html
