.DEFAULT_GOAL := help
.NOTPARALLEL:

# Version of the programs; without one they name the commit that they were built from.
RELEASE ?=
# Folder that they are built into.
BIN ?= bin

lint_tool := go tool -modfile=deploy/tools/lint/go.mod
# Those with the real programs have a target of their own.
unit_packages = $$(go list ./... | grep -vE '^zatoha/(deploy/(integration|debian|systemd|compose|prometheus)|connectorhost/amqp/rabbitmq)$$')

# haproxy is in a folder that is not in everyone's PATH.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin

ifeq ($(shell command -v go),)
$(error there is no go in PATH: install Go 1.26 or newer from https://go.dev/dl and put its bin folder into PATH)
endif

# Without a repository that git can read, as in a container that mounts another user's, go would refuse to build.
ifneq ($(shell git rev-parse HEAD >/dev/null 2>&1 && echo readable),readable)
export GOFLAGS := $(shell go env GOFLAGS) -buildvcs=false
endif

# The race detector needs a C compiler with its library; without one, nothing may use cgo.
c_works := $(shell printf '\043include <stdlib.h>\nint main(void) { return 0; }' | \
	$$(go env CC) -x c -o /dev/null - >/dev/null 2>&1 && test "$$(go env CGO_ENABLED)" = 1 && echo yes)

# What a build with IBM MQ needs: our stand-in for IBM's library, unless there is a real queue manager to test with.
standin := $(if $(IBMMQ_HOST),:,flags=$$(go run ./connectorhost/ibmmq/standin bin/mqi) && eval "$$flags")

.PHONY: help
help: ## Show this.
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

.PHONY: run
run: tools build ## Start a cluster here until Ctrl-C: Consul, the load balancer, servers, connector hosts (SERVERS=5 make run).
	@go build -o bin/ ./deploy/local
	@exec bin/local

.PHONY: build
build: ## Build the programs into bin/ (RELEASE=v1.2.3 make build; BIN=folder for another one).
	@CGO_ENABLED=0 go build -ldflags '$(if $(RELEASE),-X zatoha/deploy/program.release=$(RELEASE))' -o $(BIN)/ ./lb ./server/cmd/server ./connectorhost ./deploy/edge

# nfpm's idea of the version: that of the release, else one that any release comes after.
package_version = $(if $(RELEASE),$(RELEASE:v%=%),0.0.0~dev)
PACKAGE_DIR ?= bin/packages

.PHONY: package
package: ## Make the Debian package zatoha, in bin/packages (RELEASE=v1.2.3 make package).
	@mkdir -p $(PACKAGE_DIR)/programs
	@CGO_ENABLED=0 go build -trimpath -ldflags '-s -w $(if $(RELEASE),-X zatoha/deploy/program.release=$(RELEASE))' \
		-o $(PACKAGE_DIR)/programs/ ./lb ./server/cmd/server ./connectorhost ./deploy/consul ./deploy/keepalived ./deploy/edge
	@BIN=$(PACKAGE_DIR)/programs VERSION=$(package_version) GOARCH=$$(go env GOARCH) \
		go tool -modfile=deploy/tools/package/go.mod nfpm package --config deploy/debian/nfpm.yaml --packager deb --target $(PACKAGE_DIR)

.PHONY: tools
tools: ## Get HAProxy and Consul if they are missing.
	@go build -o bin/ ./deploy/tools
	@bin/tools haproxy consul

.PHONY: test
test: tools ## Everything that must pass: lint, unit, test-ibmmq, integration.
	@start=$$(date +%s) && $(MAKE) --no-print-directory lint unit test-ibmmq integration && \
		echo "== test: all passed in $$(($$(date +%s) - start)) s"

.PHONY: lint
lint: ## Check the format, go vet, staticcheck, and that go.mod is tidy.
	@echo "== lint: gofumpt, vet, staticcheck, go.mod"
	@files=$$($(lint_tool) gofumpt -l .) && if [ -n "$$files" ]; then \
		echo "run \"make format\" for:" $$files; exit 1; fi
	@go vet ./...
	@$(lint_tool) staticcheck ./...
ifeq ($(c_works),yes)
	@$(standin) && go vet -tags ibmmq ./connectorhost/... && $(lint_tool) staticcheck -tags ibmmq ./connectorhost/...
else
	@echo "== lint: WITHOUT THE FILES THAT NEED IBM MQ, for want of a C compiler (apt-get install gcc libc6-dev)"
endif
	@go mod tidy -diff
	@go -C server/example vet ./...
	@go -C server/example mod tidy -diff

.PHONY: format
format: ## Format the code.
	@$(lint_tool) gofumpt -l -w .

.PHONY: unit
unit: ## Run the tests of each package, with the race detector if there is a C compiler.
ifeq ($(c_works),yes)
	@echo "== unit: with the race detector"
	@go test -race $(unit_packages)
	@go -C server/example test -race ./...
else
	@echo "== unit: WITHOUT THE RACE DETECTOR, for want of a C compiler (apt-get install gcc libc6-dev)"
	@CGO_ENABLED=0 go test $(unit_packages)
	@CGO_ENABLED=0 go -C server/example test ./...
endif

.PHONY: test-ibmmq
test-ibmmq: ## Test IBM MQ connectors through mq-golang, with a stand-in for IBM's library (or IBMMQ_HOST=mq1 …).
ifeq ($(c_works),yes)
	@echo "== test-ibmmq: through the real mq-golang, $(if $(IBMMQ_HOST),against $(IBMMQ_HOST),against a stand-in for IBM's library)"
	@$(standin) && go test -race -parallel 16 -tags ibmmq ./connectorhost/ibmmq/...
else
	@echo "== test-ibmmq: NOT RUN, for want of a C compiler (apt-get install gcc libc6-dev)"
endif

.PHONY: integration
integration: tools build ## Run the tests of the whole, with the real HAProxy and Consul.
	@echo "== integration: with the real programs"
	@bin/tools chromium || echo "== integration: WITHOUT THE TEST OF CONSUL'S UI, for want of chromium"
	@bin/tools rabbitmq-server
	@command -v slowhttptest >/dev/null || \
		echo "== integration: WITHOUT THE TEST OF SLOW CLIENTS, for want of slowhttptest (go run ./deploy/tools slowhttptest)"
	@without=; bin/tools prometheus || { without=TestDashboardAndAlarms; \
		echo "== integration: WITHOUT THE TESTS OF ALARMS AND DASHBOARD, for want of prometheus"; }; \
	ZATOHA_REQUIRE_TOOLS=1 go test -count=1 -timeout 10m -skip "$$without" ./deploy/integration/... ./connectorhost/amqp/rabbitmq
	@said=$$(go test -count=1 -v ./deploy/systemd ./deploy/debian ./deploy/compose ./deploy/prometheus 2>&1) || \
		{ echo "$$said"; exit 1; }; echo "$$said" | grep -E '^ok|NOT RUN'
	@if bin/tools python3-zmq; then ZATOHA_REQUIRE_TOOLS=1 go test -count=1 -run ibzmq ./connectorhost/zmtp; else \
		echo "== integration: WITHOUT A TRIAL OF ZEROMQ AGAINST LIBZMQ, for want of python3-zmq"; fi
	@echo "== integration: servers killed under load, in short (make faults has all)"
	@go build -o bin/ ./bench ./bench/takeover/recorder
	@bin/bench faults --short --slack 10 --only kill-post,kill-post-split,kill-post-40k,kill-post-once
	@if [ "$$(id -u)" = 0 ] && bin/tools keepalived iproute2 nftables; then \
		ZATOHA_REQUIRE_TOOLS=1 go test -count=1 ./deploy/netns ./deploy/keepalived/... && $(MAKE) --no-print-directory redundancy SHORT=1 SLACK=5; else \
		echo "== integration: WITHOUT THE TESTS ON SEVERAL HOSTS, for want of root, keepalived, ip or nft"; fi

.PHONY: redundancy
redundancy: tools build ## Break a cluster on several hosts, which are namespaces and take root (SHORT=1 for a minute, ONLY=balancer-dies for one, LIGHTER=3 for a third of the load).
	@[ "$$(id -u)" != 0 ] || bin/tools keepalived iproute2 nftables
	@go build -o bin/ ./bench/takeover/recorder ./deploy/redundancy
	@go build -o bin/zatoha-consul ./deploy/consul
	@exec bin/redundancy $(if $(SHORT),--short) $(if $(ONLY),--only $(ONLY)) $(if $(SLACK),--slack $(SLACK)) $(if $(LIGHTER),--lighter $(LIGHTER))

# How long each fuzz target runs.
FUZZTIME ?= 20s

.PHONY: fuzz
fuzz: ## Fuzz each fuzz target for 20 seconds (FUZZTIME=5m for longer).
	@grep -r --include='*_test.go' '^func Fuzz' . | sed 's|/[^/]*:func \(Fuzz[^(]*\).*| \1|' | \
	while read -r package target; do \
		echo "== fuzz: $$package $$target"; \
		go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$package" || exit 1; \
	done

.PHONY: faults
faults: tools build ## Break the cluster under load and count what clients notice (SHORT=1 for four minutes, ONLY=kill-get,pause for some).
	@bin/tools consul-template || echo "== faults: WITHOUT A PEER, for want of consul-template"
	@$(if $(SHORT),:,bin/tools slowhttptest) || echo "== faults: WITHOUT A SECOND OPINION ON SLOW CLIENTS, for want of slowhttptest"
	@go build -o bin/ ./bench ./bench/takeover/recorder
	@exec bin/bench faults $(if $(SHORT),--short) $(if $(ONLY),--only $(ONLY))

.PHONY: bench
bench: tools build ## Measure propagation, throughput, latency, scale, takeover, outgoing messages and channels; the reports go to bin/reports.
	@bin/tools rabbitmq-server || echo "== bench: WITHOUT MESSAGES, for want of rabbitmq-server: outgoing and channel fail"
	@go build -o bin/ ./bench ./bench/takeover/recorder
	@failed=0; for figures in propagation throughput latency scale takeover outgoing channel; do bin/bench $$figures || failed=1; done; exit $$failed

.PHONY: edge
edge: tools build ## Break, drain and upgrade whole clusters behind outer load balancers (SHORT=1 for one minute, ONLY=edge-drain for one).
	@bin/tools rabbitmq-server || echo "== edge: WITHOUT MESSAGES, for want of rabbitmq-server"
	@go build -o bin/ ./bench ./bench/takeover/recorder
	@$(MAKE) --no-print-directory build RELEASE=next BIN=bin/next
	@exec bin/bench edge $(if $(SHORT),--short) $(if $(ONLY),--only $(ONLY))

.PHONY: cover
cover: ## Say how much of the code the unit tests run.
	@mkdir -p bin && go test -coverprofile bin/cover.out $(unit_packages) && go tool cover -func bin/cover.out | tail -1

.PHONY: clean
clean: ## Remove what was built and what runs left; the tools stay in their cache.
	@rm -rf bin run
