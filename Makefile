# make help lists what there is. PYTHON=python3.12 picks the interpreter; each has a venv of its own.
PYTHON ?= python3
VENV   ?= .venv$(if $(filter-out python3,$(notdir $(PYTHON))),-$(notdir $(PYTHON)))
BIN    := $(VENV)/bin
ADDRESS ?=
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help run test check lint types imports clean dist dev

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "hlposmon needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Say which: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "the venv could not be made; on Debian: apt install python3-venv" >&2; rm -rf $(VENV); exit 1; }

$(VENV)/.core: setup.cfg pyproject.toml hlposmon/__init__.py | $(BIN)/python
	@echo "setting up $(VENV)" >&2
	@$(BIN)/pip install -q --disable-pip-version-check -e .
	@touch $@

$(VENV)/.dev: setup.cfg pyproject.toml hlposmon/__init__.py | $(BIN)/python
	@echo "setting up $(VENV) for development" >&2
	@$(BIN)/pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/.core

dev: $(VENV)/.dev ## the venv with everything that tests need

run: $(VENV)/.core ## the monitor on the simulated exchange; ADDRESS=0x... watches that account on mainnet
	@exec $(BIN)/hlposmon run $(if $(ADDRESS),--address $(ADDRESS),--simulate) $(ARGS)

test: $(VENV)/.dev ## all tests
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check hlposmon tests
	$(BIN)/ruff format --check hlposmon tests

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports

check: lint types imports test ## lint, types, imports and tests: what CI runs

clean: ## everything that make made
	rm -rf .venv .venv-* build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage*
	find hlposmon tests -name __pycache__ -type d -exec rm -rf {} +
