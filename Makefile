# milterd. "make" lists the words; each does one thing and says how it went.

MAKEFLAGS += --no-print-directory
SHELL     := /bin/bash
GO        ?= go
T         ?= 30s# for each fuzz target

VERSION     ?= $(or $(patsubst v%,%,$(shell git describe --tags --match 'v[0-9]*' --dirty 2>/dev/null)),0.1.0-dev)
STATICCHECK := $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2
TALLY       := bin/tally

# A copy of the tree that git calls somebody else's still builds.
export GOFLAGS := $(strip $(GOFLAGS) -buildvcs=false)

# Public test data that is no part of this project; tests that want it say so
# when it is missing.
ifneq ($(wildcard ../shared/suites),)
export MILTERD_SUITES ?= $(abspath ../shared/suites)
endif
ifneq ($(wildcard ../shared/corpora),)
export MILTERD_CORPORA ?= $(abspath ../shared/corpora)
endif

# The end-to-end tests are a package of their own: they want root, a mail server
# and the machine to themselves.
units = $$($(GO) list ./... | grep -v '/integration\(/lab\)\?$$')
bed   = MILTERD_BED=required MILTERD_BIN=$(CURDIR)/bin/milterd
# Ten thousand connections are ten thousand files.
files = ulimit -n 20000 2>/dev/null || ulimit -n $$(ulimit -Hn)

.PHONY: help build run test race lint fuzz complexity bench weights accuracy integration spoofs torture lab soak docs clean gofmt tools

help: ## list these words
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "  make %-12s %s\n", $$1, $$2}'

build: ## the daemon, one static binary: bin/milterd
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/milterd ./cmd/milterd

run: build ## the demonstration: mail played to a daemon on loopback
	@bin/milterd serve --demo --play

test: $(TALLY) ## everything, on any Debian with Go and root; ends with a count
	@rm -f bin/tally.jsonl
	@$(TALLY) step  "mail servers for the tests" integration/install.sh
	@$(TALLY) step  "C compiler for the race detector" $(MAKE) tools
	@$(TALLY) step  build       $(MAKE) build
	@$(TALLY) step  gofmt       $(MAKE) gofmt
	@$(TALLY) step  "go vet"    $(GO) vet ./...
	@$(TALLY) step  staticcheck $(STATICCHECK) ./...
	@$(TALLY) step  demonstration bin/milterd serve --demo --play
	@$(TALLY) tests unit        $(GO) test -json $(units)
	@$(TALLY) tests race        $(GO) test -json -race $(units)
	@$(files); $(bed) $(TALLY) tests integration $(GO) test -json -count=1 -p 1 -timeout 20m ./integration ./integration/lab
	@$(TALLY) sum

race: tools ## all tests but the end-to-end ones, under the race detector
	@$(GO) test -race $(units)

lint: gofmt ## gofmt, go vet, staticcheck
	@$(GO) vet ./...
	@$(STATICCHECK) ./...

fuzz: $(TALLY) ## a million spoofs, then every fuzz target in turn, T=30s for each; the time goes into docs/fuzzing.tsv
	@LONG=10 $(GO) test -count=1 -timeout 90m -v -run '^TestSpoofOracle$$' ./internal/scan
	@$(TALLY) fuzz docs/fuzzing.tsv $(T)

complexity: ## four times the bytes are no more than six times the work, for every parser of what strangers send
	@MILTERD_COMPLEXITY=1 $(GO) test -count=1 -p 1 -timeout 60m ./internal/complexity
	@MILTERD_COMPLEXITY=1 $(GO) test -count=1 -p 1 -timeout 60m -run '^TestComplexity' ./milter ./internal/dns ./dkim ./mime ./checks/clamav ./internal/scan

# BENCH_DIR is the folder of an outer harness with a program run-peers that plays
# one message set to several milters; bench/README.md tells more. The tables go
# into BENCH_INTO; empty means that they are only printed.
BENCH_DIR   ?= ../shared/bench
BENCH_PEERS ?= null rspamd opendkim-verify opendmarc opendkim-sign
BENCH_ARGS  ?= --reps 3 --conc '1 8' --min-time 4
BENCH_INTO  ?= docs/performance.md
results      = $(CURDIR)/bench/results
peers        = BENCH_EXTRA=$(CURDIR)/bench/extra.d BENCH_RESULTS=$(results)
newest       = "$$(ls -d $(results)/$(1)/*/ | sort | tail -1)"
bench: build ## benchmarks of the packages, then milterd beside other milters: writes the table of budgets
	@$(GO) test -run '^$$' -bench . -benchmem $(units)
	@if [ ! -x '$(BENCH_DIR)/run-peers' ]; then echo "*** NOT MEASURED: there is no harness at $(BENCH_DIR) (BENCH_DIR names it) ***"; exit 0; fi; \
	$(peers)/prompt $(BENCH_DIR)/run-peers --peers '$(BENCH_PEERS)' $(BENCH_ARGS) && \
	$(peers)/late $(BENCH_DIR)/run-peers --peers '$(filter null rspamd,$(BENCH_PEERS))' $(BENCH_ARGS) --conc 1 --dns-delay 20ms && \
	$(GO) run ./bench/budgets $(if $(BENCH_INTO),-into '$(BENCH_INTO)') $(call newest,prompt) $(call newest,late)

weights: build ## what the shipped rules hit in the development corpus and in mail of today, and the weights that a fit proposes
	@if [ -z '$(MILTERD_CORPORA)' ]; then echo "*** NOT FITTED: there is no corpus (MILTERD_CORPORA names its folder) ***"; exit 0; fi; \
	dir=$$(mktemp -d) && trap "rm -rf $$dir" EXIT && echo '{}' >$$dir/milterd.yaml && \
	tar -xzf '$(MILTERD_CORPORA)/ham/spamassassin-public-ham.tar.gz' -C $$dir && tar -xzf '$(MILTERD_CORPORA)/spam/spamassassin-public-spam.tar.gz' -C $$dir && \
	bin/milterd --config $$dir/milterd.yaml rules test --corpus $$dir/ham $$dir/spam internal/weights/testdata/ham.mbox internal/weights/testdata/spam.mbox

accuracy: ## how good learning is, beside bogofilter in the same run: a table
	@command -v bogofilter >/dev/null || { [ "$$(id -u)" = 0 ] && { echo "installing bogofilter"; apt-get -qq -o DPkg::Lock::Timeout=400 update; \
	  DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=400 install -y --no-install-recommends bogofilter >/dev/null; }; } || true
	@MILTERD_ACCURACY=1 $(GO) test -count=1 -timeout 40m -p 1 -v -run '^Test(Accuracy|MailOfOtherYears|Poison|ImportTable|Together)$$' ./bayes ./internal/weights

integration: build ## a real Postfix and Dovecot around bin/milterd
	@integration/install.sh
	@$(files); $(bed) $(GO) test -count=1 -p 1 ./integration ./integration/lab

# SPOOFS are made up at random.
SPOOFS ?= 2000
spoofs: build ## forgeries played to milterd and to the filters installed beside it: the tables of docs/assurance.md
	@integration/install.sh
	@$(files); $(bed) $(GO) test -count=1 -v -run '^TestSpoofPeers$$' ./integration
	@MILTERD_SPOOFS=$(SPOOFS) $(GO) test -count=1 -timeout 60m -v -run '^TestSpoofOthers$$' ./internal/scan

# PACKETS, KILLS, RELOADS, RESTARTS are how often; FLOOD is messages of 25 MB, which take as
# much room in /var/tmp; BLACKHOLE is seconds.
PACKETS   ?= 10000000
KILLS     ?= 300
RELOADS   ?= 2000
RESTARTS  ?= 300
FLOOD     ?= 200
BLACKHOLE ?= 60
torture: build ## floods, spoiled packets, kills, reloads, restarts and a dead DNS, long: half an hour
	@MILTERD_KILLS=$(KILLS) $(GO) test -count=1 -v -timeout 10m -run '^TestKillWhileLearning$$' ./internal/daemon
	@$(files); $(bed) MILTERD_TORTURE=$(PACKETS) MILTERD_KILLS=$(KILLS) MILTERD_RELOADS=$(RELOADS) MILTERD_RESTARTS=$(RESTARTS) MILTERD_FLOOD=$(FLOOD) \
	  MILTERD_BLACKHOLE=$(BLACKHOLE) $(GO) test -count=1 -v -timeout 60m \
	  -run '^Test(Torture|Flood|Limits|ManyRecipients|TenThousandIdleConnections|KillUnderLoad|ManyReloads|Restart|EndWithHundredInFlight|Blackhole)$$' ./integration

soak: build ## mail without a pause for T=8h: memory, goroutines and descriptors stay where they were
	@integration/install.sh
	@$(files); $(bed) MILTERD_SOAK=$(T) $(GO) test -count=1 -v -timeout 0 -run '^TestSoak$$' ./integration

# LAB_MESSAGES are sent while everything breaks at random; LAB_SEED repeats a run's choices.
LAB_MESSAGES ?= 5000
lab: build ## everything that milterd leans on breaks beside a real Postfix: fault by fault, then at random
	@integration/install.sh
	@$(files); $(bed) MILTERD_LAB=1 LAB_MESSAGES=$(LAB_MESSAGES) $(GO) test -count=1 -v -timeout 3h ./integration/lab

docs: build ## write the generated parts of the documents again, and try their examples
	@MILTERD_BIN=$(CURDIR)/bin/milterd $(GO) test -count=1 ./internal/archtest -update

clean: ## remove what was built
	@rm -rf bin

# What the words above lean on.

gofmt:
	@out=$$(gofmt -l .); [ -z "$$out" ] || { echo "gofmt would change:"; echo "$$out"; exit 1; }

$(TALLY): $(wildcard internal/archtest/tally/*.go)
	@$(GO) build -o $@ ./internal/archtest/tally

tools:
	@command -v "$${CC:-gcc}" >/dev/null || { echo "installing gcc"; apt-get -qq -o DPkg::Lock::Timeout=400 update; \
	  DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=400 install -y --no-install-recommends gcc libc6-dev; }
