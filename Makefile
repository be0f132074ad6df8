# make help lists what there is. PYTHON=python3.12 picks the interpreter; each has a venv of its own.
PYTHON ?= python3
VENV   ?= .venv$(if $(filter-out python3,$(notdir $(PYTHON))),-$(notdir $(PYTHON)))
BIN    := $(VENV)/bin
ARGS   ?=
PREFIX ?= /opt/hlposmon
# Most tests wait for processes and sockets: more of them at once than there are processors.
PYTEST ?= -n 3

.DEFAULT_GOAL := help
.PHONY: fuzz constraints help run test check lint types imports clean dist dev bench chaos flow soak coverage install uninstall domain

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
	@$(BIN)/pip install -q --disable-pip-version-check -e '.[dev,clock]' || \
	  echo "libfaketime could not be built: tests that step the clock are skipped; on Debian: apt install gcc make" >&2
	@touch $@ $(VENV)/.core

dev: $(VENV)/.dev ## the venv with everything that tests need

# On a terminal the monitor is a job of its own, so that Ctrl-C ends it and not make, and its status counts.
run: $(VENV)/.core ## the monitor on the simulated exchange; ADDRESS=0x... watches that account on mainnet
	@$(if $(filter undefined,$(origin ADDRESS)),,$(if $(ADDRESS),,echo "ADDRESS is empty: make run ADDRESS=0x... watches an account, make run alone simulates one" >&2; exit 2;)) \
	set -- $(BIN)/hlposmon run $(if $(ADDRESS),--address $(ADDRESS),--simulate) $(ARGS); \
	if [ -t 0 ]; then exec bash -mc '"$$@"; exit $$?' run "$$@"; else exec "$$@"; fi

test: $(VENV)/.dev ## all tests
	$(BIN)/python -m pytest $(PYTEST) $(ARGS)

coverage: $(VENV)/.dev ## all tests, with the coverage of every process
	rm -f .coverage .coverage.*
	$(BIN)/python -m pytest $(PYTEST) --cov --cov-report= $(ARGS)
	$(BIN)/coverage report --fail-under=85
	$(BIN)/coverage report --include='hlposmon/domain/*' --fail-under=100

RUNS ?= 1000
# Runs mostly wait: three for each processor.
JOBS ?= $(shell echo $$((3 * $$(nproc))))
SEED ?=
chaos: $(VENV)/.dev ## RUNS=1000 of the whole service under faults, JOBS= at a time; SEED= repeats one. Writes docs/reliability.md
	$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED),--runs $(RUNS) --jobs $(JOBS) --write docs/reliability.md) $(ARGS)

soak: $(VENV)/.dev ## seven days in seventeen minutes: memory, descriptors, audit files. Writes docs/reliability.md
	$(BIN)/python -m tests.chaos.soak --write docs/reliability.md $(ARGS)

flow: $(VENV)/.dev ## an hour of 200 fills a second, and no false alarm. Writes docs/reliability.md
	$(BIN)/python -m tests.chaos.flow --minutes 60 --rate 200 --write docs/reliability.md $(ARGS)

bench: $(VENV)/.dev ## figures of this machine
	@for script in tests/bench/*.py; do echo "== $$script"; $(BIN)/python -m tests.bench.$$(basename $$script .py) || exit 1; done

SECONDS ?= 600
fuzz: $(VENV)/.dev ## SECONDS=600 of atheris on all that reads strangers' bytes
	@$(BIN)/pip install -q --disable-pip-version-check -e '.[fuzz]' || \
	  echo "atheris cannot be had for this Python: see https://pypi.org/project/atheris for those it knows" >&2
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) $(ARGS)

# All hashes of each version, so that the files serve every Python and processor.
constraints: $(VENV)/.dev ## the pinned dependencies anew: constraints.txt, constraints-build.txt
	@$(BIN)/pip install -q --disable-pip-version-check 'uv>=0.5,<1'
	$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate \
	  --custom-compile-command "make constraints" setup.cfg -o constraints.txt
	printf 'setuptools >=68\n' | $(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-annotate --custom-compile-command "make constraints" - -o constraints-build.txt

lint: $(VENV)/.dev
	$(BIN)/ruff check hlposmon tests
	$(BIN)/ruff format --check hlposmon tests

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports

domain: $(VENV)/.dev # every branch of the domain is tested
	$(BIN)/python -m pytest $(PYTEST) -q tests/domain --cov=hlposmon.domain --cov-branch --cov-report=term-missing:skip-covered --cov-fail-under=100

check: lint types imports test domain ## lint, types, imports and tests: what CI runs

dist: $(VENV)/.dev ## sdist and wheel in dist/
	rm -rf build dist
	$(BIN)/python -m build --outdir dist .

install: ## a venv below PREFIX (/opt/hlposmon), the command on the path, the unit; honours DESTDIR
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "hlposmon needs Python 3.11 or newer: make PYTHON=python3.12 install" >&2; exit 1; }
	$(PYTHON) -m venv $(DESTDIR)$(PREFIX)
	$(DESTDIR)$(PREFIX)/bin/python -m pip install -q --disable-pip-version-check .
	@# Scripts name the interpreter where it will be, not where it was put together.
	$(if $(DESTDIR),grep -rlI '$(DESTDIR)$(PREFIX)' $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/pyvenv.cfg | xargs -r sed -i 's|$(DESTDIR)$(PREFIX)|$(PREFIX)|g')
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
