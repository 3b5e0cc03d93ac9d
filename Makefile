# Needs Python 3.11 or newer, make and git; everything else is fetched once. `make help` lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# The first interpreter that is new enough; PYTHON=... chooses another.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$p && break; done)

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LOCKS := requirements/dev.txt
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test test-fast test-long lint types contracts bench chaos up down test-compose fmt lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | while IFS=$$'\t' read -r t d; do \
		printf '  make %-13s %s\n' "$$t" "$$d"; done

demo: $(READY) ## Start everything, play a shop and check the books (ONCE=1: end by itself)
	@laurel demo $(if $(ONCE),--once)

up: $(READY) ## Start Kafka, PostgreSQL and the services, without the shop
	@laurel up

# Two processes, since most tests wait as long as they work; whole files, for what their tests share; in the order of
# their folders, since the longest are in the first.
test: $(READY) ## Run all tests but the long ones and those that need Docker
	@pytest tests -m "not long and not docker" -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

test-fast: $(READY) ## Run the tests that need no servers
	@pytest tests/unit tests/contract tests/architecture -m "not long and not docker" $(ARGS)

test-long: $(READY) ## Run the tests that take minutes
	@pytest tests -m long $(ARGS)

test-compose: $(READY) ## Try the Compose stack on a Docker engine
	@python -m tests.compose

bench: $(READY) ## Measure every figure of docs/performance.md, for an hour (ARGS=--quick: a try)
	@python -m tests.bench $(ARGS)

chaos: $(READY) ## Break everything for an hour and a half, and check that nothing is lost (SIM=…, REAL=…: their arguments)
	@python -m tests.chaos.sim $(SIM)
	@python -m tests.chaos.real $(REAL)

lint: $(READY) ## Check style, formatting and the direction of imports
	@ruff check .
	@ruff format --check .
	@lint-imports --no-cache

types: $(READY) ## Check types
	@mypy

fmt: $(READY) ## Format and fix what can be fixed
	@ruff check --fix-only --quiet .
	@ruff format .

contracts: $(READY) ## Generate JSON Schema and AsyncAPI from the models
	@python -m contracts.generate

down: ## Stop and remove the Compose stack
	@docker compose down

# Locks carry hashes and no address of an index, so that any mirror serves. dev.txt covers all the others.
LOCK = uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --no-header --no-annotate pyproject.toml $(if $(UPGRADE),--upgrade)

lock: $(READY) ## Renew requirements/*.txt from pyproject.toml (UPGRADE=1: newest versions)
	@$(LOCK) --extra run --extra embedded --extra build --extra dev -o requirements/dev.txt
	@$(LOCK) --extra run --extra embedded -c requirements/dev.txt -o requirements/embedded.txt
	@$(LOCK) --extra run -c requirements/dev.txt -o requirements/run.txt
	@$(LOCK) --extra build -c requirements/dev.txt -o requirements/build.txt
	@if grep -nE 'https?://|index-url' requirements/*.txt; then echo "A lock names an address; take it out."; exit 1; fi

clean: ## Remove .venv and what tools leave behind
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# One install for development: made once, and again only when the lock changes.
$(READY): $(LOCKS)
	@[ -n "$(PYTHON)" ] && "$(PYTHON)" -c '$(NEW_ENOUGH)' || { \
		echo "Laurel needs Python 3.11 or newer; install it, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@if [ -x $(BIN)/python ] && ! $(BIN)/python -c '$(NEW_ENOUGH)' 2>/dev/null; then rm -rf $(VENV); fi
	@echo "Installing into $(VENV) (once) ..."
	@[ -x $(BIN)/pip ] || "$(PYTHON)" -m venv $(VENV) || { \
		echo "Python cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --require-hashes -r $(LOCKS)
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $(READY)
