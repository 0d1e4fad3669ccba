# A newcomer needs Go and make; `make test` also a C compiler, for the race detector.

FUZZTIME ?= 30s

# The modules beside the root one: they may import NSQ's own code.
MODULES := $(patsubst %/go.mod,%,$(wildcard e2e/go.mod bench/go.mod))
SCRIPTS := .ci/run $(wildcard deploy/*.sh)
TOOL    := go tool -modfile=$(CURDIR)/tools/go.mod

.PHONY: build run cluster image image-nsq up down test lint fuzz e2e bench clean help

build: ## build the programs into bin/, static
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -o bin/ ./cmd/...

run: build ## start one replica on the default ports, with its data in ./data
	exec bin/raftlookupd -data-path=data

cluster: build ## three replicas on this machine until Ctrl-C; data in ./data/r1 and so on
	@bash deploy/cluster.sh

image: build ## the image raftlookupd:latest
	docker build -q -t raftlookupd:latest .

image-nsq: ## the image raftlookupd-nsq:latest with NSQ's programs, for machines that reach no registry
	@set -e; for p in nsqd nsqadmin nsq_to_file; do \
		(cd e2e && CGO_ENABLED=0 go build -trimpath -o ../deploy/nsq/bin/$$p github.com/nsqio/nsq/apps/$$p); done
	docker build -q -t raftlookupd-nsq:latest deploy/nsq

# `docker compose` where Docker has it, else the command docker-compose.
COMPOSE := $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)

up: image ## three replicas in containers
	$(COMPOSE) up -d

down: ## stop them, and remove their data
	$(COMPOSE) --profile nsq down -v

test: ## every test of the root module, with the race detector
	CGO_ENABLED=1 go test -race -shuffle=on ./...

lint: ## what must be clean before a commit
	@unformatted=$$(gofmt -l .) && test -z "$$unformatted" || { echo "gofmt -w $$unformatted"; exit 1; }
	@set -e; for script in $(SCRIPTS); do bash -n "$$script"; done
	@set -e; for dir in . $(MODULES); do \
		echo "lint $$dir"; cd "$(CURDIR)/$$dir"; \
		go vet ./...; \
		$(TOOL) staticcheck ./...; \
		$(TOOL) ineffassign ./...; \
	done
	$(TOOL) errcheck -ignoretests ./...
	$(TOOL) unparam ./...

fuzz: ## run each fuzz target for FUZZTIME (30s)
	@set -e; found=$$(go test -list '^Fuzz' ./...); \
	echo "$$found" | awk '/^Fuzz/ {name[++n] = $$1} $$1 == "ok" {for (i = 1; i <= n; i++) print $$2, name[i]; n = 0}' | \
	while read -r package target; do \
		echo "fuzz $$package $$target"; \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5x "$$package" </dev/null || exit 1; \
	done

e2e: ## the real programs side by side
	@set -e; if test -f e2e/go.mod; then cd e2e; go test -count=1 -p 1 ./...; else echo "no e2e tests"; fi

.PHONY: deploy-check
deploy-check: ## the systemd unit and the Kubernetes manifests, as far as that goes without the real thing
	cd deploy/check && go vet ./... && $(TOOL) staticcheck ./... && go test -count=1 ./...

# Choose with BENCHFLAGS='-rows lookup -out table.md'; bench/README.md names them all.
bench: ## nsqlookupd and raftlookupd side by side in one table, a quarter of an hour
	cd bench && go run ./cmd/bench $(BENCHFLAGS)

.PHONY: bench-quick
bench-quick: ## the same in small, to see that it works
	cd bench && go run ./cmd/bench -quick $(BENCHFLAGS)

.PHONY: bench-micro
bench-micro: ## the packages' own benchmarks, for benchstat
	go test -run '^$$' -bench . -benchmem ./...

.PHONY: docs install

docs: ## write docs/reference and docs/man from the code
	go test -count=1 ./internal/reference -run '^TestPagesAreUpToDate$$' -update

PREFIX ?= /usr/local

install: build ## programs, manual pages, completions and the systemd unit, below PREFIX (/usr/local) and DESTDIR
	install -D -t $(DESTDIR)$(PREFIX)/bin bin/raftlookupd bin/lookupctl
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man8 docs/man/raftlookupd.8
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man1 docs/man/lookupctl.1
	@set -e; umask 022; to=$(DESTDIR)$(PREFIX)/share; \
	install -d $$to/bash-completion/completions $$to/zsh/site-functions $$to/fish/vendor_completions.d; \
	bin/lookupctl completion bash >$$to/bash-completion/completions/lookupctl; \
	bin/lookupctl completion zsh >$$to/zsh/site-functions/_lookupctl; \
	bin/lookupctl completion fish >$$to/fish/vendor_completions.d/lookupctl.fish
	@set -e; umask 022; if test -f deploy/systemd/raftlookupd.service; then to=$(DESTDIR)$(PREFIX)/lib/systemd/system; \
	install -d $$to; sed 's|/usr/local/bin/|$(PREFIX)/bin/|' deploy/systemd/raftlookupd.service >$$to/raftlookupd.service; \
	install -D -m 644 deploy/systemd/raftlookupd.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/raftlookupd.conf; fi

clean: ## remove what build made
	rm -rf bin

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' Makefile
