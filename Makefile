# Everything a developer does, from a fresh clone: `make demo`, `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
# An interrupted or failed step starts afresh the next time.
.DELETE_ON_ERROR:
.PHONY: help setup demo run test torture mutants bench audit format requirements clean

help:
	@echo "make demo          send to every channel on this machine: no server, no account"
	@echo "make run           start Sendpoint on this machine"
	@echo "make test          format, lint, types, import rules and all tests"
	@echo "make torture       break everything on schedule, and count what that did (10 minutes)"
	@echo "make mutants       take out one guard after the other, and see each noticed (5 minutes)"
	@echo "make bench         measure whole deliveries, beside what people write instead (9 minutes)"
	@echo "make audit         ask for known holes in all dependencies of the image (needs the network)"
	@echo "make format        format the code and apply safe fixes"
	@echo "make requirements  pin deploy/*requirements.txt (UPGRADE=--upgrade for newer versions)"
	@echo "make setup         only prepare $(VENV)"
	@echo "make clean         remove caches, builds and $(VENV); the data in .sendpoint stays"
	@echo "Another Python:    make demo PYTHON=python3.12"

demo: $(VENV)/.demo
	@$(BIN)/python -m examples.demo

run: $(VENV)/.demo
	@$(BIN)/sendpoint up

test: $(VENV)/.test
	@$(BIN)/python -m tests.javascript
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest

torture: $(VENV)/.test
	@$(BIN)/python -m tests.torture.storms --minutes 3
	@$(BIN)/python -m tests.torture --minutes 7

mutants: $(VENV)/.test
	@$(BIN)/python -m tests.torture.mutants

bench: $(VENV)/.test
	@$(BIN)/python -m benchmarks

# Strict: a dependency that it could not ask about makes it fail.
audit: | $(BIN)/python
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && set -e; \
	echo "==> Installing pip-audit for this once"; \
	$(BIN)/python -m venv "$$tmp" && "$$tmp/bin/pip" install --quiet pip-audit; \
	"$$tmp/bin/pip-audit" --strict --disable-pip --require-hashes \
	  -r deploy/requirements.txt -r deploy/build-requirements.txt $(AUDIT)

format: $(VENV)/.test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

setup: $(VENV)/.demo

# The stamps hold the rule "installed since pyproject.toml last changed".
$(VENV)/.demo: pyproject.toml | $(BIN)/python
	@echo "==> Installing Sendpoint into $(VENV) (once; about a minute)"
	@$(BIN)/python -m pip install --disable-pip-version-check -e '.[demo]'
	@touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	@echo "==> Installing Sendpoint and its test tools into $(VENV) (once; a few minutes)"
	@$(BIN)/python -m pip install --disable-pip-version-check -e '.[demo,test]'
	@touch $@ $(VENV)/.demo

define CHECK_PYTHON
import sys
if sys.version_info < (3, 11):
    sys.exit("Sendpoint needs Python 3.11 or newer, and this is %d.%d. Install one and name it: "
             "make PYTHON=python3.12 ..." % sys.version_info[:2])
try:
    import ensurepip, venv
except ImportError:
    sys.exit("This Python has no venv module. On Debian and Ubuntu: apt install python3-venv. "
             "Or name another Python: make PYTHON=/path/to/python3 ...")
endef
export CHECK_PYTHON

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "There is no $(PYTHON) on PATH. Install Python 3.11 or newer, or name yours:" \
	    "make PYTHON=/path/to/python3 ..." >&2; exit 1; }
	@$(PYTHON) -c "$$CHECK_PYTHON"
	@echo "==> Creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

# Pinned with hashes for every platform and every Python from 3.11 on, naming no registry: what is
# installed is what was pinned, wherever it is downloaded from.
PIN = pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-annotate --no-header $(UPGRADE)

define BUILD_REQUIRES
import tomllib
print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")
endef
export BUILD_REQUIRES

requirements: | $(BIN)/python
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && set -e; \
	echo "==> Installing uv for this once"; \
	$(BIN)/python -m venv "$$tmp" && "$$tmp/bin/pip" install --quiet uv; \
	echo "==> deploy/requirements.txt"; \
	"$$tmp/bin/uv" $(PIN) -o deploy/requirements.txt pyproject.toml >/dev/null; \
	echo "==> deploy/build-requirements.txt"; \
	$(BIN)/python -c "$$BUILD_REQUIRES" >"$$tmp/build.in"; \
	"$$tmp/bin/uv" $(PIN) -o deploy/build-requirements.txt "$$tmp/build.in" >/dev/null

clean:
	rm -rf $(VENV) .node build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache \
	  .import_linter_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
