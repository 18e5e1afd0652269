# Skerry: an EC2-compatible region on your own machines.
# `make` alone lists the verbs.

export CGO_ENABLED ?= 1
GO       ?= go
TAGS     := libvirt_dlopen
SUDO     := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
PROGRAMS := services scheduler storage-node compute-node network-node
NATSCLI  := v0.4.0
SEEDS    ?= 3000
RUNS     ?= 10

.PHONY: help build run check test drill bench image nats sdk model down deps-build deps-image deps-run deps-test deps-bench

help:
	@echo 'make build   build the programs into bin/'
	@echo 'make run     bring up a region on this machine and walk through it'
	@echo 'make check   the quick tests: no root, no network, under a minute'
	@echo 'make test    every test, with what they need installed; under 25 minutes'
	@echo 'make drill   seeded faults: SEEDS=3000 in virtual time, 20 with the race detector, RUNS=10 on real processes'
	@echo 'make bench   speed, as ratios to a yardstick of the same run'
	@echo 'make image   the image of the instances, into .build/image'
	@echo 'make nats    the NATS command line, into .build/nats'
	@echo 'make sdk     a walk with the AWS SDK for Go, into .build/sdk'
	@echo 'make model   the public API model that replies are held against, into the module cache'
	@echo 'make down    end the region that make run left running'

deps-build:
	@deploy/deps.sh build

deps-image:
	@deploy/deps.sh build image

deps-bench:
	@deploy/deps.sh bench

deps-run:
	@deploy/deps.sh build image run

deps-test:
	@deploy/deps.sh build image run test

build: deps-build
	@mkdir -p bin
	$(GO) build -tags $(TAGS) -o bin/skerry ./deploy
	@for p in $(PROGRAMS); do \
		echo "$(GO) build -tags $(TAGS) -o bin/skerry-$$p ./$$p"; \
		$(GO) build -tags $(TAGS) -o bin/skerry-$$p ./$$p || exit 1; \
	done

run: deps-run build image
	$(SUDO) bin/skerry up
	$(SUDO) bin/skerry tour

# Without a C compiler the binding to libvirt is a stub that says so.
check: export CGO_ENABLED := $(shell command -v gcc >/dev/null && echo 1 || echo 0)
check: export GOFLAGS += -mod=readonly
check: export GOPROXY := off
check:
	@$(GO) run ./deploy/testreport -tags $(TAGS) -short -fuzz 0 -limit 15m -package 2m -cached

test: deps-test build image nats sdk model
	@$(GO) run ./deploy/testreport -tags $(TAGS)

drill: deps-run build image
	$(GO) test -tags $(TAGS) -count=1 -timeout 2h -v ./deploy/sim/exact -args -seeds=$(SEEDS)
	$(GO) test -tags $(TAGS) -count=1 -timeout 2h ./deploy/sim -args -seeds=$(SEEDS)
	$(GO) test -tags $(TAGS) -count=1 -timeout 2h -run Drill -v ./deploy/drill -args -runs=$(RUNS)

bench: deps-run deps-bench build image
	$(GO) test -tags $(TAGS) -run '^$$' -bench . -timeout 30m ./...

image: deps-image
	$(GO) run ./deploy/image -o .build/image

# The NATS command line has a module of its own: it wants an older server.
nats: .build/nats
.build/nats: deploy/tools/go.mod
	@mkdir -p .build
	cd deploy/tools && CGO_ENABLED=0 $(GO) build -o ../../.build/nats github.com/nats-io/natscli/nats
	@echo "try: .build/nats --context skerry-isle-1 sub 'sk.ev.>'"

# The walk with the AWS SDK for Go has a module of its own: the SDK takes three minutes of CPU to compile.
sdk: .build/sdk
.build/sdk: deploy/sdk/go.mod deploy/sdk/main.go
	@mkdir -p .build
	cd deploy/sdk && CGO_ENABLED=0 $(GO) build -o ../../.build/sdk .

# The model is read, not built: no module of ours requires it.
model:
	@$(GO) mod download github.com/aws/aws-sdk-go@v1.55.8

down:
	$(SUDO) bin/skerry down
