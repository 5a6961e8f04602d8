# make demo            a Label Studio with images, connected to SAM Inspect; IMAGES=folder takes your own images
# make test            everything: linters, types, imports, documented examples, unit, contract and end-to-end tests
# make test-fast       the tests that take seconds, without what trains, simulates or starts Label Studio
# make help            the other targets

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
HOME_OF_DEMO := .demo
VENV := .venv
BIN := $(VENV)/bin
LOWEST := .venv-lowest
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
LABEL_STUDIO := $(HOME_OF_DEMO)/label-studio-venv/installed
# Beside the environment, not in it: its pins fit nothing, and only the tests of it are to see it.
LABEL_STUDIO_ML := $(VENV)/label-studio-ml-1
# The tests of one file stay in one process. End-to-end tests run alone: they wait for a browser.
PARALLEL := --numprocesses auto --maxprocesses 4 --dist loadfile

# $(call apt,package): installs it with apt-get, as root or through sudo; says what is missing where neither will do.
apt = { \
	root=; [ "$$(id -u)" = 0 ] || root=sudo; \
	if ! command -v apt-get >/dev/null || { [ -n "$$root" ] && ! command -v sudo >/dev/null; }; then \
		echo "Please install $(1) (on Debian: apt-get install $(1), as root), then run make again." >&2; exit 1; \
	fi; \
	echo "Installing the system package $(1)"; \
	$$root apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$root apt-get install -y -qq --no-install-recommends $(1) >/dev/null; \
}

# Python interpreters, by name or path.
PYTHONS ?= python3.12 python3.13

VERSION ?= 1.20.0
OTHER = $(HOME_OF_DEMO)/label-studio-$(VERSION)

# $(call test-in,folder,python,options): the fast tests in an environment of its own, without PyTorch.
test-in = { \
	$(BIN)/uv venv --quiet --clear --python $(2) $(1) && \
	$(BIN)/uv pip install --quiet --python $(1) $(3) --editable '.[evaluation,dev]' && \
	$(1)/bin/pytest -m "not slow" $(PARALLEL); \
}

.PHONY: help demo docs docs-serve test test-fast test-lowest test-pythons test-label-studio setup lint audit lock format attack bench clean system-python system-chromium system-nginx

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/base ## Run Label Studio with SAM Inspect connected; IMAGES=folder takes your own images
	@$(BIN)/sam-inspect demo --home $(HOME_OF_DEMO) $(if $(IMAGES),--images "$(IMAGES)")

test: setup lint ## Set up and check everything
	$(BIN)/pytest --doctest-modules --doctest-ignore-import-errors backend evaluation cli research
	$(BIN)/pytest -m "not e2e" $(PARALLEL)
	$(BIN)/pytest tests/e2e

test-fast: $(VENV)/dev ## Run the tests that take seconds
	$(BIN)/pytest -m "not slow" $(PARALLEL)

test-lowest: $(VENV)/dev ## Run the fast tests with the lowest versions that pyproject.toml allows, without PyTorch
	@$(call test-in,$(LOWEST),$(BIN)/python,--resolution lowest-direct)

test-pythons: $(VENV)/dev ## Run the fast tests on each of PYTHONS, without PyTorch
	@for python in $(PYTHONS); do echo $$python; $(call test-in,.venv-$$(basename $$python),$$python) || exit; done

test-label-studio: setup ## Run the browser tests with another Label Studio, VERSION=1.20.0
	@[ -x $(OTHER)/bin/label-studio ] || { $(PYTHON) -m venv $(OTHER) && \
	$(OTHER)/bin/pip install --quiet --disable-pip-version-check label-studio==$(VERSION); }
	@cp $(LABEL_STUDIO) $(OTHER)/installed # the demo takes it for the version that it asks for
	@# Label Studio 1.20 has no tag for bitmasks, and its page lets go of a label that 1.23 keeps.
	TESTED_LABEL_STUDIO=$(OTHER) $(BIN)/pytest tests/e2e -k "not bitmask and not quick"

setup: system-python system-chromium system-nginx ## Install everything that the tests need
	@$(MAKE) --no-print-directory --jobs 2 $(VENV)/dev $(LABEL_STUDIO) $(LABEL_STUDIO_ML)/installed

lint: $(VENV)/dev ## Check style, types, imports and security
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --configfile pyproject.toml --severity-level medium --recursive backend evaluation cli research

audit: $(VENV)/dev ## Look for known faults in the packages of the images; needs a network
	@for lock in docker/*.lock; do echo $$lock; $(BIN)/pip-audit --strict --disable-pip --require-hashes --requirement $$lock || exit; done

# The images get the versions that the tests run with: those of all extras together.
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-annotate --no-emit-index-url --no-emit-find-links \
	--custom-compile-command 'make lock'

lock: $(VENV)/dev ## Write docker/*.lock anew, the packages of the images with their hashes
	@together=$$(mktemp) && trap 'rm -f "$$together"' EXIT && \
	$(LOCK) --extra evaluation --extra torch --extra transformers --extra video --extra tracing --extra dev --output-file "$$together" pyproject.toml && \
	$(LOCK) --generate-hashes --constraint "$$together" --extra tracing --output-file docker/cpu.lock pyproject.toml && \
	$(LOCK) --generate-hashes --constraint "$$together" --extra evaluation --extra torch --extra transformers --extra video --extra tracing \
		--output-file docker/cuda.lock pyproject.toml && \
	echo 'setuptools>=77' | $(LOCK) --generate-hashes --output-file docker/build.lock -

format: $(VENV)/dev ## Rewrite the code in the house's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

attack: $(VENV)/dev ## Send hostile requests to a real server and print how it held; minutes
	cd tests && ../$(BIN)/python -m attack

bench: $(VENV)/dev ## Measure all speeds, at most ten minutes, and write the tables of docs/performance.md
	$(BIN)/python tests/benchmarks/all.py

docs: $(VENV)/dev ## Build the documentation site into site/; its pages open as files, search included
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

docs-serve: $(VENV)/dev ## Show the site on http://localhost:8000, built anew at every change
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

clean: ## Remove what was installed and built; keeps what you annotated in the demo
	rm -rf $(VENV) .venv-* $(HOME_OF_DEMO)/label-studio-* build dist site test-artifacts
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache *.egg-info

$(VENV)/base: pyproject.toml | system-python
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@echo "Installing SAM Inspect into $(VENV); the first time takes about a minute"
	@$(PIP) --editable .
	@touch $@

$(VENV)/dev: pyproject.toml | system-python
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@echo "Installing SAM Inspect with PyTorch and the tools of development into $(VENV); the first time takes some minutes"
	@$(PIP) --editable '.[evaluation,torch,transformers,train,video,tracing,dev]'
	@touch $@ $(VENV)/base

$(LABEL_STUDIO): backend/sam_backend/demo/environment.py | system-python
	@echo "Installing Label Studio into $(@D); the first time takes some minutes"
	@$(PYTHON) backend/sam_backend/demo/environment.py $(HOME_OF_DEMO) >/dev/null
	@touch $@

$(LABEL_STUDIO_ML)/installed: tests/contract/label-studio-ml-1.txt | $(VENV)/dev
	@$(PIP) --no-deps --upgrade --target $(@D) --requirement $<
	@touch $@

system-python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name it with make PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(call apt,python3-venv)

# The browser tests are skipped without it, so a machine that cannot have it is no reason to stop.
system-chromium:
	@command -v chromium >/dev/null || ( $(call apt,chromium) ) || echo "Going on without Chromium" >&2

# Debian keeps it out of an ordinary user's PATH.
system-nginx:
	@[ -x /usr/sbin/nginx ] || command -v nginx >/dev/null || ( $(call apt,nginx-light) ) || echo "Going on without nginx" >&2
