# Everything a person needs starts here. `make` alone lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
TEMPL := go run github.com/a-h/templ/cmd/templ@v0.3.977
export CGO_ENABLED = 0

.PHONY: help run test test-fast build bench soak broken-undos killed-writes mutants lint measure generate dev reset setup setup-bench node gallery gallery-pictures looks stories lighthouse

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: setup build node ## the twin, order traffic and the server on this machine, until Ctrl-C
	bin/switchyard twin

test: setup-test build node ## every test: Go, Node, browser, a rehearsal
	scripts/test

test-fast: ## the tests that start no server: a first answer
	scripts/test-fast

build: ## bin/switchyard
	go build -ldflags "-X github.com/switchyard-dev/switchyard/cli.version=$(VERSION)" -o bin/switchyard .

bench: setup setup-bench build node ## what flags cost, with ratios to peers, what open pages cost, the job move, the order ledger, the copy of a million keys (BENCH=-quick: shorter)
	scripts/bench $(BENCH)

soak: setup node ## 20 planned and 20 unplanned Sentinel failovers under BullMQ applications (about 15 min)
	go test -run '^$$' -bench FailoversUnderBullMQ -benchtime 1x -timeout 40m ./sentinel

mutants: setup node ## every condition of checks, gates and the ledger changed: do the tests notice? (about an hour)
	scripts/mutants/all

broken-undos: setup node ## break the undoing of each action in turn; the harness of steps must notice (about 30 min)
	scripts/broken-undos

killed-writes: setup node ## end the process after each kind of write of each action of each step (about 20 min)
	go test -run '^TestEveryStepEveryWay$$' -timeout 60m ./workflows/steps -args -writes

lint: ## format, vet, linters, dead code (the first time builds golangci-lint, which takes minutes)
	scripts/lint

measure: ## how large the packages are, how wide their lines
	@go run ./scripts/measure

generate: ## templ pages to Go, the API's types to its OpenAPI document
	$(TEMPL) generate
	go generate ./api

dev: setup node ## like run, with ten orders a second and data of its own; follows the code as it changes
	scripts/dev

gallery: ## every component and every page, with made-up data, at http://127.0.0.1:7332 until Ctrl-C
	SWITCHYARD_GALLERY=127.0.0.1:7332 go test ./web/storybook -run '^TestServeGallery$$' -count=1 -timeout 0 -v

looks: setup-test node ## every page at every width and theme, with and without JavaScript, in Chromium (about 10 min)
	go test ./e2e -run '^TestEveryPageLooksRight$$' -count=1 -args -all

stories: node ## write down anew what overview, step and run tell a screen reader (e2e/testdata/story): to be read
	go test ./e2e -run '^TestPagesReadAsAStory$$' -count=1 -args -write-stories

gallery-pictures: node ## renew the pictures that components are compared with (e2e/gallery)
	go test ./e2e -run '^TestComponentsLookAsTheyDid$$' -count=1 -args -gallery-pictures

lighthouse: setup build node scripts/lighthouse/node_modules/.package-lock.json ## score the pages of a running twin with Lighthouse: desktop and phone (LIGHTHOUSE='--only queues': less; about 10 min)
	scripts/setup chromium
	node scripts/lighthouse/run.mjs bin/switchyard $(LIGHTHOUSE)

reset: build ## forget the twin's data
	bin/switchyard reset

setup: ## install what is missing: Redis, Sentinel, Node
	scripts/setup redis-server redis-sentinel node

setup-bench:
	scripts/setup wrk

setup-test:
	scripts/setup redis-server redis-sentinel node chromium postgres python3

node: node_modules/.package-lock.json ## install and build the Node packages
	npm run build --silent

node_modules/.package-lock.json: package-lock.json
	npm ci --no-audit --no-fund

# No workspace of the others: it is large, and nothing else needs it. Its override names the version of a
# package that one of its parts asks for as "latest", which no lock file keeps.
scripts/lighthouse/node_modules/.package-lock.json: scripts/lighthouse/package-lock.json
	npm ci --prefix scripts/lighthouse --no-audit --no-fund
