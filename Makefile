# The one entry point: "make help" lists the targets. Only Go, make and git are
# needed; what else a target uses it builds into .tmp/bin. Targets work on all
# modules of go.work, one after the other; M="core core/test" picks some.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# What can be said on the command line: make flake N=50 M=core
M    ?=
N    ?= 20
T    ?=
TIME ?= 30s
SOAK ?= 2h
SEED ?=
SEEDS ?= 200
ARGS ?=

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0

BIN   := $(CURDIR)/.tmp/bin
export PATH := $(BIN):$(PATH)
ROOT   = $(CURDIR)/
comma := ,
# The directories of the modules, below the root.
MODULES = $(or $(M),$(patsubst $(ROOT)%,%,$(shell go list -m -f '{{.Dir}}')))

# $(call each,MODULES,COMMAND) runs COMMAND in the directory of every module
# that has packages. All of them run; the failed ones are named at the end.
define each
@failed=; for module in $(1); do \
	cd "$(CURDIR)/$$module" || exit 1; \
	[ -n "$$(go list -e ./... 2>/dev/null)" ] || continue; \
	echo "== $$module: $(2)"; \
	$(2) || failed="$$failed $$module"; \
done; \
[ -z "$$failed" ] || { echo "failed in:$$failed"; exit 1; }
endef

# Targets do not share two cores well, and their output is read by people.
.NOTPARALLEL:

.PHONY: help demo build test race test-alone test-386 fuzz fuzz-short sim figures soak flake bench bench-quick examples cover \
	lint fmt vet vet-cross staticcheck tidy work guards mods layers api api-update parity parity-check errors errors-check \
	tidy-check proxy verify vuln ci clean tools

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

demo: ## Watch a client at work; ARGS="-cluster 3", ARGS="-url nats://host:4222" or ARGS=-serve
	@go run ./docs/examples/demo $(ARGS)

## --- building and testing

build: ## Compile every package of every module
	$(call each,$(MODULES),go build ./...)

test: ## Unit and integration tests of all modules
	$(call each,$(MODULES),go test -shuffle=on ./...)

race: ## The same with the race detector
	$(call each,$(MODULES),go test -race -shuffle=on ./...)
	@echo "figure 34: no data race in the tests of $(MODULES) (promised: none)"

test-alone: ## core and natstest outside the workspace, as their users build them
	$(call each,core orbit/natstest,GOWORK=off go test -shuffle=on ./...)

test-386: ## The tests of core where an int has 32 bits
	$(call each,core,GOARCH=386 go test -shuffle=on ./...)

fuzz: ## Fuzz: T=core/internal/wire/FuzzParse TIME=2m; without T each target of core for TIME
	@mkdir -p .tmp; targets="$(T)"; if [ -z "$$targets" ]; then \
		targets=$$(grep -roE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' core | sed -E 's,/[^/]*:func ,/,' | sort); fi; \
	total=0; count=0; \
	for target in $$targets; do \
		echo "== fuzz $$target for $(TIME)"; \
		{ go test "./$${target%/*}" -run '^$$' -fuzz "^$${target##*/}\$$" -fuzztime $(TIME) -fuzzminimizetime 10x || echo failed; } 2>&1 | tee .tmp/fuzz.txt; \
		[ "$$(tail -n 1 .tmp/fuzz.txt)" != failed ] || exit 1; \
		n=$$(sed -nE 's/.*execs: ([0-9]+).*/\1/p' .tmp/fuzz.txt | tail -n 1); \
		total=$$((total + $${n:-0})); count=$$((count + 1)); \
	done; \
	echo "figure 13: $$total executions of $$count targets without a crash, a hang or a breach (promised: 20000000 at TIME=1m)"

fuzz-short:
	@$(MAKE) -s fuzz TIME=3s

sim: ## Simulate days of trouble, SEEDS of them; SEED=n replays one with its trace
	@cd core && PERIGEE_SIM_SEED=$(SEED) PERIGEE_SIM_SEEDS=$(SEEDS) \
		go test -count=1 -v -timeout 60m -run '^TestFigure1[89]' .

figures: ## Print the figures that docs/reliability.md promises, at the size of a change
	@mkdir -p .tmp && rm -f .tmp/figures.txt
	@PERIGEE_FIGURES=$(CURDIR)/.tmp/figures.txt; export PERIGEE_FIGURES; \
	for module in $(or $(M),core core/test); do \
		(cd $$module && go test -count=1 -run '^TestFigure' ./...) || exit 1; \
	done
	@sort -k2n .tmp/figures.txt

soak: tools ## The figures at larger sizes, races and fuzzing, for SOAK=2h; goes on where it was; ARGS=-new begins anew
	@$(BIN)/soak -time $(SOAK) $(ARGS)

flake: ## Run all tests N times on 1, 2 and 8 processors with the race detector, to find those that fail sometimes
	$(call each,$(MODULES),go test -race -shuffle=on -cpu 1$(comma)2$(comma)8 -count=$(N) -failfast -timeout 60m ./...)

cover: ## Test coverage of core, its integration tests included, in .tmp/cover.html
	@mkdir -p .tmp
	go test -coverpkg=./core/... -coverprofile=.tmp/cover.txt ./core/... ./core/test/...
	go tool cover -func=.tmp/cover.txt | tail -n 1
	go tool cover -html=.tmp/cover.txt -o .tmp/cover.html

bench: ## Measure against nats.go, in about 20 minutes, and write docs/benchmarks; ARGS changes the comparison
	@mkdir -p $(BIN) && cd tools/bench && go build -o $(BIN)/natsbench .
	@natsbench compare --scenarios all --drivers nats.go,perigee,perigee-onreader,raw -o docs/benchmarks/standard.json $(ARGS)
	@natsbench compare --scenarios no-ballast --ballast 0 -o docs/benchmarks/no-ballast.json $(ARGS)
	@natsbench report docs/benchmarks.md

bench-quick: ## The same in under a minute, one line a scenario: name, times faster, times less CPU, allocations
	@mkdir -p $(BIN) && cd tools/bench && go build -o $(BIN)/natsbench .
	@natsbench quick $(ARGS)

examples: ## Run the example programs and compare what they print
	$(call each,docs/examples,go test -count=1 ./...)

## --- rules

lint: fmt vet vet-cross staticcheck ## Formatting, vet (on other systems too), staticcheck

fmt: ## Fail when a file is not formatted
	@bad=$$(git ls-files -co --exclude-standard '*.go' | while read -r f; do [ -f "$$f" ] && echo "$$f"; done | xargs gofmt -l); \
	[ -z "$$bad" ] || { echo "not formatted, run gofmt -w:"; echo "$$bad"; exit 1; }

vet:
	$(call each,$(MODULES),go vet ./...)

vet-cross:
	$(call each,core,GOOS=windows go vet ./...)
	$(call each,core,GOOS=darwin go vet ./...)
	$(call each,core,GOOS=linux GOARCH=386 go vet ./...)

staticcheck: $(BIN)/$(STATICCHECK)
	$(call each,$(MODULES),staticcheck ./...)

# The file with the version in its name says which version is built.
$(BIN)/$(STATICCHECK):
	@mkdir -p $(dir $@)
	cd .tmp && GOWORK=off GOBIN=$(BIN) go install $(STATICCHECK)
	@touch $@

guards: mods layers api parity-check errors-check ## All of mods, layers, api, and that generated files are up to date

mods: tools ## go.mod files, go.work, what core brings into a user's build
	@$(BIN)/mods check
	@$(BIN)/mods graph

layers: tools ## Import policy, option names, no panics, no sleeping tests, file sizes
	@$(BIN)/layers

api: tools ## Compare the exported API with docs/api
	@$(BIN)/api

api-update: tools ## Write the exported API to docs/api
	@$(BIN)/api -update

parity: tools ## Check docs/parity.tsv and write docs/parity.md
	@$(BIN)/gen parity

parity-check: tools
	@$(BIN)/gen -check parity

errors: tools ## Write the error codes of JetStream from the list of the server that natstest requires
	@$(BIN)/gen errors

errors-check: tools
	@$(BIN)/gen -check errors

## --- modules and releases

tidy: tools ## go mod tidy for every module, unpublished siblings included; ARGS=-diff only shows
	@$(BIN)/mods tidy $(ARGS)

work: tools ## Bring go.work up to date with the modules and their requirements
	@$(BIN)/mods work

proxy: tools ## Serve the modules of the last commit as a module proxy would, from .proxy
	@$(BIN)/mods proxy

verify: tools ## go get each published module of the last commit from an empty machine
	@$(BIN)/mods verify

vuln: ## Known vulnerabilities in what we require; asks a database on the network
	@mkdir -p $(BIN) && cd .tmp && GOWORK=off GOBIN=$(BIN) go install $(GOVULNCHECK)
	$(call each,$(MODULES),govulncheck ./...)

## --- everything

ci: build lint guards tidy-check test sim race test-alone test-386 fuzz-short ## All that must pass before a change is merged

tidy-check: tools
	@$(BIN)/mods tidy -diff

clean: ## Remove what the targets have built
	rm -rf .tmp
	@[ ! -d .proxy ] || GOMODCACHE=$(CURDIR)/.proxy go clean -modcache
	rm -rf .proxy

# The tools are built outside the workspace: they have to run when go.work is
# what is wrong.
tools:
	@mkdir -p $(BIN)
	@cd tools && GOWORK=off go build -o $(BIN)/ ./cmd/...
