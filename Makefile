# The two commands to know: `make demo` and `make test`. `make help` lists the rest.

PREFIX ?= /usr/local

MAKEFLAGS += --no-print-directory

# How everything is compiled, and checked by .ci/run: urfave/cli without its
# generator of pages, whose packages are initialised at each start of the program.
TAGS := $(shell cat .ci/tags)

# What `make fuzz` spends on each target.
FUZZTIME ?= 20s

all: build

build: ## compile bin/zkelect: static, and the same bytes from the same commit
	CGO_ENABLED=0 go build -tags $(TAGS) -trimpath -buildvcs=false \
		-ldflags "-s -w -X main.version=$$(.ci/version)" -o bin/zkelect .

demo: ## install what is missing, then show a takeover on a private ZooKeeper
	.ci/install demo
	$(MAKE) build
	.ci/demo

# Chaos comes after the other packages: beside it their times would be out of bounds.
# What measures comes last and alone, which ZKELECT_ALONE tells.
# Tests repeat what is subject to chance ZKELECT_REPEAT times. A test that needs
# root, or what this machine lacks, adds a line with its name to the file that
# ZKELECT_LEFT_OUT names, and what gathers there is told at the end.
# $(call go_test,REPETITIONS,TIMEOUT)
define go_test
	@left_out=$$(mktemp) && trap 'rm -f "$$left_out"' EXIT && status=0; \
	export ZKELECT_LEFT_OUT="$$left_out" ZKELECT_REPEAT="$${ZKELECT_REPEAT:-$(1)}"; \
	for packages in "$$(go list -tags $(TAGS) ./... | grep -v /internal/chaos)" ./zkelect/internal/chaos; do \
		go test -tags $(TAGS) -race -count=1 -timeout $(2) $(TESTFLAGS) $$packages || status=$$?; \
	done; \
	ZKELECT_ALONE=1 go test -tags $(TAGS) -p 1 -count=1 -run '1000Waiters|KilledElectorIs' -v ./zkelect . || status=$$?; \
	if [ -s "$$left_out" ]; then \
		echo "left out, since they need root, or what they name:"; sort -u "$$left_out" | sed 's/^/  /'; \
	fi; exit $$status
endef

test: ## install what is missing, then run every test (TESTFLAGS='-run NAME -v')
	.ci/install test
	$(MAKE) build
	$(if $(TESTFLAGS),,$(MAKE) model)
	$(call go_test,2,10m)

soak: ## the same tests with the long repetitions (ZKELECT_REPEAT=20)
	.ci/install test
	$(MAKE) build
	$(call go_test,20,6h)

matrix: ## every way to kill or stop zkelect's processes: the table in docs/safety.md
	.ci/install test
	ZKELECT_MATRIX=docs/safety.md go test -tags $(TAGS) -count=1 -parallel 4 -timeout 60m -run '^TestMatrix$$' $(TESTFLAGS) .
	@sed -n '/^| fault/,/^$$/p' docs/safety.md

# As root, or where users may make namespaces, with real cuts of the network.
chaos: ## two minutes of faults, with a timeline (CHAOS_FOR=30m CHAOS_SEED=7)
	.ci/install test
	CHAOS_OUT="$${CHAOS_OUT:-$(CURDIR)/bin/chaos}" \
		go test -count=1 -timeout 0 -run '^TestPromise$$' -v ./zkelect/internal/chaos

model: ## check the protocol's model with spin (docs/model), a minute
	docs/model/check

lint: ## what .ci/run checks besides the tests
	.ci/run lint

# Alone on the machine, please: it takes about twelve minutes (BENCH_N=3: thrice that).
bench: ## zkelect beside a floor and its peers: the tables in docs/performance.md
	.ci/install bench
	$(MAKE) build
	go run ./testdata/bench

# Nothing else should run beside these two either.
bench-check: ## fail where zkelect is slower or larger, beside the floor, than recorded
	.ci/install bench-check
	$(MAKE) build
	go run ./testdata/bench check

bench-record: ## record what bench-check compares with (testdata/bench/recorded.json)
	.ci/install bench-check
	$(MAKE) build
	go run ./testdata/bench record

bench-go: ## the Go benchmarks of the inner parts, for benchstat (BENCHFLAGS='-count 10')
	.ci/install test
	$(MAKE) build
	go test -tags $(TAGS) -run '^$$' -bench . -benchmem $(BENCHFLAGS) ./...

fuzz: ## run each fuzz target for a while (FUZZTIME=20s)
	@for package in $$(go list -tags $(TAGS) ./...); do \
		targets=$$(go test -tags $(TAGS) -list '^Fuzz' "$$package") || exit; \
		for target in $$(printf '%s\n' "$$targets" | grep '^Fuzz'); do \
			echo "== $$package $$target"; \
			go test -tags $(TAGS) -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$package" || exit; \
		done; \
	done

fresh: ## as root: demo and test from a new clone on a bare Debian in a chroot
	.ci/fresh

# Where systemd looks for units, below /usr/local too; nothing where there is none.
UNITS ?= $(if $(filter Linux,$(shell uname)),$(PREFIX)/lib/systemd/system)

# Builds only what isn't there, since root often has no Go on its path.
install: bin/zkelect ## copy binary, manual pages, completions and unit to DESTDIR/PREFIX
	install -d "$(DESTDIR)$(PREFIX)/bin"
	install -m 755 bin/zkelect "$(DESTDIR)$(PREFIX)/bin/zkelect"
	$(MAKE) man SHARE="$(DESTDIR)$(PREFIX)/share"
	$(if $(UNITS),install -D -m 644 -t "$(DESTDIR)$(UNITS)" packaging/systemd/zkelect@.service)

# What writes them: bin/zkelect, or one that runs here where that is for another machine.
ZKELECT ?= bin/zkelect
SHARE ?= bin/share

# Where man and the shells look, below /usr/share and /usr/local/share.
man: bin/zkelect ## write manual pages and completions below bin/share
	@install -d "$(SHARE)/man/man1" "$(SHARE)/bash-completion/completions" \
		"$(SHARE)/zsh/site-functions" "$(SHARE)/fish/vendor_completions.d"; \
	write() { file="$(SHARE)/$$1" && shift && $(ZKELECT) "$$@" >"$$file" && chmod 644 "$$file"; }; set -e; \
	write man/man1/zkelect.1 help --man; \
	for command in run status resign; do \
		write man/man1/zkelect-$$command.1 help --man $$command; \
	done; \
	write bash-completion/completions/zkelect completion bash; \
	write zsh/site-functions/_zkelect completion zsh; \
	write fish/vendor_completions.d/zkelect.fish completion fish

bin/zkelect:
	$(MAKE) build

package: ## write .deb, .rpm, archives and the source tarball to dist
	.ci/install package
	packaging/build

# The half that installs them in a chroot needs root.
package-test: ## make the packages, offline once more, and try them
	.ci/install demo package package-test
	packaging/test

clean: ## remove what build, man and package made
	rm -rf bin dist

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 15

.PHONY: all build demo test soak matrix chaos model lint bench bench-check bench-record bench-go fuzz fresh install man package package-test clean help
