# The two commands are `make demo` and `make test`; `make` alone lists all of them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Outside of the checkout, so that only the first build on a machine takes long.
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/millrace/target

# What `make test` builds, once: every later command finds its programs there.
EVERYTHING := --workspace --all-targets --features tests/live --locked
PROGRAMS := $(CARGO_TARGET_DIR)/debug
# The program that started the stack is also the one that shows and stops it, even while a crate does not compile.
DEV = $(if $(wildcard $(PROGRAMS)/dev),$(PROGRAMS)/dev,cargo run --quiet --locked --package dev --bin dev --)

# Cargo keeps the members of two checkouts under one name, and takes for fresh what is only newer.
# So the first build of another checkout drops the members and keeps their dependencies.
.PHONY: own
own:
	@if [ "$$(cat $(CARGO_TARGET_DIR)/checkout 2>/dev/null)" != "$(CURDIR)" ]; then \
	  cargo clean --quiet --workspace --locked; \
	  mkdir -p $(CARGO_TARGET_DIR) && echo "$(CURDIR)" >$(CARGO_TARGET_DIR)/checkout; \
	fi

# Compiles OpenSSL and librdkafka, which are linked in; the rest of what is missing `dev up` installs.
.PHONY: compilers
compilers:
	@if ! { type cc c++ git && perl -MFindBin -MIPC::Cmd -e 1; } >/dev/null 2>&1; then \
	  echo "installing g++, git and perl: OpenSSL and librdkafka are compiled here"; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes g++ git perl; \
	fi

# All of them in one go: one alone would be built with other features, and with it its dependencies once more.
.PHONY: programs
programs: compilers own
	@cargo build --locked --workspace --bins

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

.PHONY: up
up: programs ## Start the local stack: Kubernetes, Kafka, ClickHouse
	@$(PROGRAMS)/dev up

.PHONY: down
down: ## Stop the local stack and remove all it left
	@$(DEV) down

.PHONY: status
status: ## Show the parts of the local stack
	@$(DEV) status

.PHONY: demo
demo: programs ## Build and start everything, send events to a tenant and read them back
	@$(PROGRAMS)/dev demo

.PHONY: bench
bench: programs ## Measure CPU per event on the local stack, in the release profile
	@$(PROGRAMS)/dev up
	cargo build --release --locked --package bench --package ingester --package consumer
	$(CARGO_TARGET_DIR)/release/bench events

# DURATION in seconds; PEER=kafka-engine puts ClickHouse's own Kafka engine to the same test.
DURATION ?= 600
SEED ?= 1
.PHONY: chaos
chaos: programs ## Kill, freeze and cut everything under load and count each event; DURATION=600 SEED=1 PEER=kafka-engine
	@$(PROGRAMS)/chaos --duration $(DURATION) --seed $(SEED) $(if $(PEER),--subject $(PEER))

.PHONY: bench-consumer
bench-consumer: programs ## Measure the consumer beside ClickHouse's Kafka engine and a plain consumer, on parts of its own
	@$(PROGRAMS)/dev up
	cargo build --release --locked --package bench --package consumer
	$(CARGO_TARGET_DIR)/release/bench consumer

.PHONY: bench-limits
bench-limits: programs ## Measure what fetching, parsing, sorting, encoding and inserting cost alone, on parts of its own
	@$(PROGRAMS)/dev up
	cargo build --release --locked --package bench
	$(CARGO_TARGET_DIR)/release/bench limits

.PHONY: bench-operator
bench-operator: programs ## Measure the operator with 200 tenants: time until ready, then requests and memory at rest, on parts of its own
	@$(PROGRAMS)/dev up
	cargo build --release --locked --package bench --package operator
	$(CARGO_TARGET_DIR)/release/bench operator

.PHONY: check
check: compilers own ## Check the format, the lints and the documentation; needs nothing but cargo
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy $(EVERYTHING) -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --features tests/live --locked

# Live tests mostly wait, for a broker that starts or a Lease that ends: two cores hold four of them.
.PHONY: test
test: check ## Run every check and every test, the ones on real Kafka, ClickHouse and Kubernetes included
	cargo build $(EVERYTHING)
	$(PROGRAMS)/dev up
	INSTA_UPDATE=no RUST_TEST_THREADS=$${RUST_TEST_THREADS:-4} cargo test --workspace --features tests/live --locked --no-fail-fast
	@cat $(CARGO_TARGET_DIR)/perturb.txt $(CARGO_TARGET_DIR)/perturb-live.txt

# With the workspace, so that nothing is built with other features than in `make test`.
.PHONY: perturb
perturb: programs ## Disturb every change and every read of the operator in each way, in memory and on parts of its own; SEED=1
	MILLRACE_PERTURB=all/$(SEED) cargo test --workspace --features tests/live --lib --locked perturbation
	MILLRACE_PERTURB=all/$(SEED) cargo test --workspace --features tests/live --test it --locked live::perturbation
	@cat $(CARGO_TARGET_DIR)/perturb.txt $(CARGO_TARGET_DIR)/perturb-live.txt

.PHONY: audit
audit: ## Look for published vulnerabilities of our dependencies; needs the internet and cargo-deny
	@command -v cargo-deny >/dev/null || { echo "cargo-deny is missing: cargo install --locked cargo-deny" >&2; exit 1; }
	cargo deny check advisories
