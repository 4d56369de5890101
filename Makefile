# The two commands to know: `make demo` and `make test`. `make help` lists the rest.

PREFIX ?= /usr/local

MAKEFLAGS += --no-print-directory

# What `make fuzz` spends on each target.
FUZZTIME ?= 20s

all: build

build: ## compile bin/zkelect: static, and the same bytes from the same commit
	CGO_ENABLED=0 go build -trimpath -buildvcs=false \
		-ldflags "-s -w -X main.version=$$(.ci/version)" -o bin/zkelect .

demo: ## install what is missing, then show a takeover on a private ZooKeeper
	.ci/install demo
	$(MAKE) build
	.ci/demo

# Tests repeat what is subject to chance ZKELECT_REPEAT times. A test that needs
# root and doesn't have it adds a line with its name to the file that
# ZKELECT_LEFT_OUT names, and what gathers there is told at the end.
# $(call go_test,REPETITIONS,TIMEOUT)
define go_test
	@left_out=$$(mktemp) && trap 'rm -f "$$left_out"' EXIT && status=0; \
	export ZKELECT_LEFT_OUT="$$left_out" ZKELECT_REPEAT="$${ZKELECT_REPEAT:-$(1)}"; \
	go test -race -count=1 -timeout $(2) $(TESTFLAGS) ./... || status=$$?; \
	go test -count=1 -run 1000Waiters -v ./zkelect || status=$$?; \
	if [ -s "$$left_out" ]; then \
		echo "left out, since they need root:"; sort -u "$$left_out" | sed 's/^/  /'; \
	fi; exit $$status
endef

test: ## install what is missing, then run every test (TESTFLAGS='-run NAME -v')
	.ci/install test
	$(MAKE) build
	$(if $(TESTFLAGS),,$(MAKE) model)
	$(call go_test,2,14m)

soak: ## the same tests with the long repetitions (ZKELECT_REPEAT=20)
	.ci/install test
	$(MAKE) build
	$(call go_test,20,6h)

model: ## check the protocol's model with spin (docs/model), a minute
	docs/model/check

lint: ## what .ci/run checks besides the tests
	.ci/run lint

bench: ## run the benchmarks
	.ci/install test
	go test -run '^$$' -bench . -benchmem ./...

fuzz: ## run each fuzz target for a while (FUZZTIME=20s)
	@for package in $$(go list ./...); do \
		targets=$$(go test -list '^Fuzz' "$$package") || exit; \
		for target in $$(printf '%s\n' "$$targets" | grep '^Fuzz'); do \
			echo "== $$package $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$package" || exit; \
		done; \
	done

fresh: ## as root: demo and test from a new clone on a bare Debian in a chroot
	.ci/fresh

# Builds only what isn't there, since root often has no Go on its path.
install: bin/zkelect ## copy the binary to DESTDIR/PREFIX/bin
	install -d "$(DESTDIR)$(PREFIX)/bin"
	install -m 755 bin/zkelect "$(DESTDIR)$(PREFIX)/bin/zkelect"

bin/zkelect:
	$(MAKE) build

clean: ## remove what build made
	rm -rf bin

help: ## list these targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 10

.PHONY: all build demo test soak model lint bench fuzz fresh install clean help
