# SPDX-License-Identifier: Apache-2.0

PREFIX ?= /usr/local
DESTDIR ?=
GO ?= go

.DEFAULT_GOAL := help
.PHONY: help docker-plugin deps deps-docker deps-firewalls deps-generate deps-vm deps-builder build generate check-generated check-builder check-debian \
	lint test test-unit test-bpf test-long churn clean-test test-xdp fuzz test-vm update-insns bench bench-services bench-all bench-page bench-check bench-update bench-docker demo install install-bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: ## install what build, test and demo need (apt; Debian 12, Ubuntu 22.04 or later)
	@build/deps test
	@$(GO) mod download
	@build/docker-engine trixie
	@build/firewalls

deps-docker: ## a part of deps: unpack Debian 13's Docker Engine in .cache, for tests beside the installed one
	@build/docker-engine trixie

deps-firewalls: ## a part of deps: unpack ufw and firewalld in .cache, for tests with both
	@build/firewalls

deps-generate: ## install the compiler that generate and lint need (Debian 12)
	@build/deps generate

deps-vm: ## install what test-vm needs
	@build/deps vm

deps-builder: ## install what check-builder needs
	@build/deps builder

# docker-proxy has a directory of its own: a dockerd that finds one by PATH takes it for Docker's.
build: ## build the binaries into bin/ and docker-proxy into bin/lib/, static
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=auto -ldflags '-s -w' -o bin/ ./cmd/...
	@rm -f bin/docker-proxy && mkdir -p bin/lib
	$(CC) -std=gnu11 -Os -Wall -Wextra -Werror -ffunction-sections -static -s -Wl,--gc-sections -o bin/lib/docker-proxy cmd/docker-proxy/*.c

generate: ## compile the programs, with the compiler that Dockerfile.builder pins
	$(GO) generate $(addprefix ./,$(shell cat build/generated))

check-generated: ## compile the programs elsewhere and compare with what is committed
	@build/check-generated

check-debian: ## run README's commands on fresh roots of Debian 12 and 13 (root)
	@build/on-debian bookworm
	@build/on-debian trixie

check-builder: ## build Dockerfile.builder on a base made by debootstrap and compare its objects (root)
	@build/check-builder

lint: ## vet, staticcheck, errorlint, gofmt, clang-format, calls of netlink, licenses, columns of prose
	@build/lint

docker-plugin: build ## make Docker's managed plugin of bin/fairway in bin/docker-plugin
	deploy/docker-plugin/build bin/fairway bin/docker-plugin
	@echo "docker plugin create fairway bin/docker-plugin && docker plugin enable fairway"

# What test and test-long run. For a part: make test PACKAGES=./test RUN=^TestNames
PACKAGES ?= ./...
RUN ?=

test: ## install what is missing and run all tests (root); ends with a plain count
	@test "$$(id -u)" = 0 || { echo "make test: the tests make network namespaces and load eBPF programs; run it as root" >&2; exit 1; }
	@partial=; build/ready || partial=1; FAIRWAY_TEST_PARTIAL=$$partial build/test-report --packages="$(PACKAGES)" -- -count=1 $(if $(RUN),-run='$(RUN)')

test-unit: ## run the tests that need no root
	@build/test-unit

test-bpf: generate ## compile and verify the programs, and run each on packets (root)
	@build/test-report --packages="./test/progrun ./maps/... ./loader" -- -count=1 $(if $(RUN),-run='$(RUN)')

test-long: ## run the tests that are long by nature: crowds, soaks, fuzzers, older engines (root)
	@partial=; build/ready || partial=1; export FAIRWAY_TEST_PARTIAL=$$partial; \
		FAIRWAY_TEST_ENGINES=all build/test-report --packages="$(PACKAGES)" -- -count=1 -tags=long -run='$(or $(RUN),^TestLong)' && \
		{ [ -n "$(RUN)" ] || FAIRWAY_TEST_ENGINES=older build/test-report --packages=./test/docker -- -count=1; }

churn: ## edit services for 30 minutes under clients who know whose answers are right (FOR=2h for longer; root)
	@FAIRWAY_TEST_CHURN=$(or $(FOR),30m) $(MAKE) --no-print-directory test-long PACKAGES=./test RUN='^TestLongServiceChurn$$'

clean-test: ## remove what killed runs of the tests left (root)
	@mkdir -p .cache/bin && $(GO) build -o .cache/bin/cell ./test/cmd/cell && .cache/bin/cell -clean

test-xdp: ## run the end-to-end tests with the XDP program on the uplinks, in the driver and in the stack (root)
	@partial=; build/ready || partial=1; for mode in auto generic; do \
		echo "--xdp $$mode"; FAIRWAY_TEST_PARTIAL=$$partial FAIRWAY_TEST_MODES=ebpf FAIRWAY_XDP=$$mode build/test-report --packages=./test -- -count=1 || exit 1; done

fuzz: ## fuzz with each target, 20,000 executions (EXECUTIONS=1000000x for more)
	@build/fuzz

test-vm: ## verify the programs and run a few tests on Debian's 6.1 and 6.12 kernels under qemu (root)
	@test/vm/run

update-insns: ## record how many instructions the verifiers of test-vm's kernels look at
	@FAIRWAY_RECORD_INSNS=1 test/vm/run

# The cases that bench/target says something of, but for services.
bench_cases := ^(pps|rr|crr|stream)/walk=(lan-published|container-container)/family=ipv4/flows=1$$|^pps/walk=lan-published/family=ipv4/flows=65536$$|^rr/walk=loopback-published/family=ipv4/flows=1$$|^ports/.*op=(crr/ports=(1|10000)/at=last|publish/count=(1|206)/present=(0|10000))$$|^flows/walk=lan-published/.*measure=memory|^flood/walk=lan-published/family=ipv4
bench_arms := ebpf,ebpf-xdp,iptables,docker,redirect,veth,veth-xdp

bench: build ## measure what has a target and write the report into bench/out (root, a quiet machine, under 15 minutes)
	bin/fairway-bench --budget 14m --arms $(bench_arms) --match '$(bench_cases)' --out bench/out

bench-services: build ## measure services beside iptables, nftables, HAProxy and IPVS into bench/out (root, a quiet machine, 12 minutes)
	bin/fairway-bench prog services --budget 10m --match '^services/|^prog/family=ipv4/program=from_uplink/path=(published|service|service-of-1000|one-of-10000-services)/flow=new/table=empty$$' --out bench/out

bench-all: build ## measure every case on every arm (root, a quiet machine, 40 minutes)
	bin/fairway-bench --out bench/out

bench-page: ## make docs/benchmarks.md of the report in bench/out
	@build/benchmarks-page

bench-check: build ## fail if a program is over 10 % slower than bench/baseline.json says (root, a quiet machine)
	bin/fairway-bench prog pps --arms ebpf,iptables,empty --pairs 10 --check bench/baseline.json

bench-update: build ## measure the figures of bench/baseline.json anew (root, a quiet machine)
	bin/fairway-bench prog --update bench/baseline.json

bench-docker: ## measure what Docker costs on Fairway and on its own rules (root, a quiet machine, 25 minutes)
	@test "$$(id -u)" = 0 || { echo "make bench-docker: run it as root" >&2; exit 1; }
	@mkdir -p bench/out
	FAIRWAY_TEST_ENGINES=all FAIRWAY_FIGURES=$(CURDIR)/bench/out/docker.md $(GO) test -count=1 -parallel=1 -timeout=120m -run='^TestFigures$$' ./test/docker
	@cat bench/out/docker.md

demo: ## the tour: a network, nginx in a sandbox, requests from everywhere (root)
	@demo/run.sh

install: build ## install into PREFIX (/usr/local)
	install -D -m 0755 bin/fairway $(DESTDIR)$(PREFIX)/bin/fairway
	install -D -m 0755 bin/lib/docker-proxy $(DESTDIR)$(PREFIX)/lib/fairway/docker-proxy
	mkdir -p $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's,/usr/local/,$(PREFIX)/,' deploy/systemd/fairway.service >$(DESTDIR)$(PREFIX)/lib/systemd/system/fairway.service

install-bench: build ## install the benchmark beside it, which a host that only runs containers needn't have
	install -D -m 0755 bin/fairway-bench $(DESTDIR)$(PREFIX)/bin/fairway-bench

clean: ## remove what the other targets made
	rm -rf bin bench/out .cache
