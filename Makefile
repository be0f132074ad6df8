# make help lists what there is. PYTHON=python3.12 picks the interpreter; each has a venv of its own.
PYTHON ?= python3
VENV   ?= .venv$(if $(filter-out python3,$(notdir $(PYTHON))),-$(notdir $(PYTHON)))
BIN    := $(VENV)/bin
ADDRESS ?=
ARGS   ?=
PREFIX ?= /opt/hlposmon
# Most tests wait for processes and sockets: more of them at once than there are processors.
PYTEST ?= -n 3

.DEFAULT_GOAL := help
.PHONY: help run test check lint types imports clean dist dev bench chaos coverage install uninstall

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
	$(BIN)/python -m pytest $(PYTEST) $(ARGS)

coverage: $(VENV)/.dev ## all tests, with the coverage of every process
	rm -f .coverage .coverage.*
	$(BIN)/python -m pytest $(PYTEST) --cov --cov-report= $(ARGS)
	$(BIN)/coverage combine -q
	$(BIN)/coverage report --fail-under=85
	$(BIN)/coverage report --include='hlposmon/domain/*' --fail-under=100

chaos: $(VENV)/.dev ## the long form: every kind of process killed 10 times; HLPOSMON_SEED repeats a run
	HLPOSMON_KILLS=10 $(BIN)/python -m pytest tests/system/test_equality.py -s --timeout 600 $(ARGS)

bench: $(VENV)/.dev ## figures of this machine
	@for script in tests/bench/*.py; do echo "== $$script"; $(BIN)/python -m tests.bench.$$(basename $$script .py) || exit 1; done

lint: $(VENV)/.dev
	$(BIN)/ruff check hlposmon tests
	$(BIN)/ruff format --check hlposmon tests

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports

check: lint types imports test ## lint, types, imports and tests: what CI runs

dist: $(VENV)/.dev ## sdist and wheel in dist/
	rm -rf build dist
	$(BIN)/python -m build --outdir dist .

install: ## a venv below PREFIX (/opt/hlposmon), the command on the path, the unit; honours DESTDIR
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "hlposmon needs Python 3.11 or newer: make PYTHON=python3.12 install" >&2; exit 1; }
	$(PYTHON) -m venv $(DESTDIR)$(PREFIX)
	$(DESTDIR)$(PREFIX)/bin/python -m pip install -q --disable-pip-version-check .
	install -d $(DESTDIR)/usr/local/bin $(DESTDIR)/etc/systemd/system $(DESTDIR)/etc/hlposmon
	ln -sf $(PREFIX)/bin/hlposmon $(DESTDIR)/usr/local/bin/hlposmon
	sed 's|/opt/hlposmon|$(PREFIX)|' systemd/hlposmon.service > $(DESTDIR)/etc/systemd/system/hlposmon.service
	test -e $(DESTDIR)/etc/hlposmon/hlposmon.toml || install -m 0644 etc/hlposmon.toml $(DESTDIR)/etc/hlposmon/hlposmon.toml

uninstall: ## what install put there; configuration, state and logs stay
	rm -rf $(DESTDIR)$(PREFIX)
	rm -f $(DESTDIR)/usr/local/bin/hlposmon $(DESTDIR)/etc/systemd/system/hlposmon.service

clean: ## everything that make made
	rm -rf .venv .venv-* build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage*
	find hlposmon tests -name __pycache__ -type d -exec rm -rf {} +
