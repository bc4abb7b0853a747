# Everything a person or CI does here. `make` alone lists the targets.
#
#   PYTHON=python3.12 make build     use another interpreter for .venv
#   ARGS="--quick" make demo         arguments for demo, bench and pytest
#   CARGO_TARGET_DIR=...             honoured, as cargo does
#
# Steps that cost time leave a stamp in .venv/.stamps and run again only when what they depend on has changed.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)

# One interpreter for every build of the extension module, so that cargo does not compile PyO3 twice.
export PYO3_PYTHON := $(abspath $(BIN)/python)
export VIRTUAL_ENV := $(abspath $(VENV))
export PIP_DISABLE_PIP_VERSION_CHECK := 1

RUST_SOURCES := Cargo.toml Cargo.lock $(shell find crates \( -name '*.rs' -o -name '*.py' -o -name Cargo.toml \))

.PHONY: help build demo test test-rust test-python test-pythons lint lint-rust lint-python lint-docs docs format bench clean soak memory-plots

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

build: $(STAMPS)/build ## build Kask (release) into .venv

demo: build $(STAMPS)/group-demo ## run the demonstration: real flights, real text, a worker killed on the way
	$(BIN)/python demo/run.py $(ARGS)

test: test-rust test-python test-pythons ## all tests: Rust, Python, the other Python versions found here

test-rust: $(STAMPS)/venv
	@if cargo nextest --version >/dev/null 2>&1; then \
		cargo nextest run --workspace --exclude kask-python --no-fail-fast; \
	else \
		cargo test --workspace --exclude kask-python --lib --bins --tests --no-fail-fast; \
	fi
	cargo test --workspace --exclude kask-python --doc

# Tests that kill, count or fill something have the machine to themselves; the others share it, one process for each core. With ARGS,
# what they say is run in one process.
ALONE := tests/chaos tests/cluster

test-python: build $(STAMPS)/group-test $(STAMPS)/group-demo
ifeq ($(ARGS),)
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal $(ALONE:%=--ignore=%)
	$(BIN)/python -m pytest $(ALONE)
else
	$(BIN)/python -m pytest $(ARGS)
endif

test-pythons: build
	.ci/other-pythons 3.11 3.12 3.13

lint: lint-rust lint-python lint-docs ## formatting, clippy, repository checks, types, import rules, docs in step

lint-rust: $(STAMPS)/venv
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	cargo xtask all

lint-python: $(STAMPS)/group-lint $(STAMPS)/group-test
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	PYTHONPATH=python $(BIN)/lint-imports --no-cache

lint-docs: build
	$(BIN)/python docs/generate.py --check

docs: build ## write the generated pages of docs/ anew
	$(BIN)/python docs/generate.py

format: $(STAMPS)/group-lint ## format Rust and Python sources
	cargo fmt --all
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: build $(STAMPS)/group-bench ## measure against the thread pool, Dask and others, side by side
	$(BIN)/python bench/run.py $(ARGS)

soak: build $(STAMPS)/group-bench ## ten million small tasks twice; fails when memory grows by more than 1 %
	$(BIN)/python bench/soak.py $(ARGS)

memory-plots: build $(STAMPS)/group-bench ## draw the pictures of docs/memory.md anew
	$(BIN)/python bench/plot_memory.py $(ARGS)

clean: ## remove everything that was built
	rm -rf $(VENV) dist demo-data bench/results .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find python -name '*.so' -delete
	cargo clean

# -- steps with a stamp ------------------------------------------------------------------------------------------------

$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "make: '$(PYTHON)' is not Python 3.11 or newer; name one: PYTHON=python3.12 make ..." >&2; exit 1; }
	@command -v cargo >/dev/null || { \
		echo "make: no Rust toolchain here; https://rustup.rs installs one" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1' 'maturin>=1.9,<2'
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/group-%: pyproject.toml | $(STAMPS)/venv
	$(BIN)/python -m pip install --quiet --group $*
	@touch $@

# The extension module in place (python/kask), the `kask` command, and the same command as a program without Python.
$(STAMPS)/build: $(RUST_SOURCES) pyproject.toml | $(STAMPS)/venv
	$(BIN)/maturin develop --release --quiet
	cargo build --release --quiet --package kask-cli
	ln -sf "$(abspath $(TARGET_DIR))/release/kask" $(BIN)/kask-native
	@touch $@
