# make help lists what there is. PYTHON=python3.12 picks the interpreter; each has a venv of its own.
PYTHON ?= python3
VENV   ?= .venv$(if $(filter-out python3,$(notdir $(PYTHON))),-$(notdir $(PYTHON)))
BIN    := $(VENV)/bin
ARGS   ?=
# Most tests wait for processes and sockets: more of them at once than there are processors.
PYTEST ?= -n 3

.DEFAULT_GOAL := help
.PHONY: help run test check lint types imports clean dist dev bench chaos simulate flow soak coverage examples \
        install uninstall purge domain monitoring debian-tools boot-tools test-systemd fuzz constraints

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

# Programs of Debian's that tests run are unpacked into the venv and not installed: that needs no root, and starts
# no service. Where they cannot be had the tests that want them are skipped, and say why.
DEBIAN = promtool:prometheus logrotate:logrotate logrotate:libpopt0 shellcheck:shellcheck mandoc:mandoc
debian-tools: | $(BIN)/python # promtool, prometheus, logrotate, shellcheck, mandoc
	@mkdir -p $(VENV)/debian && cd $(VENV)/debian && for tool in $(DEBIAN); do \
	  program=$${tool%:*} package=$${tool#*:}; \
	  if [ -e .$$package ] || PATH=$$PATH:/usr/sbin command -v $$program >/dev/null; then continue; fi; \
	  get() { apt-get -q download $$package >log 2>&1 && dpkg-deb -x $${package}_*.deb . >>log 2>&1; }; \
	  update() { test "$$(id -u)" = 0 && apt-get -qq update >>log 2>&1; }; \
	  if get || { update && get; }; then touch .$$package; echo "$$package is unpacked in $(VENV)/debian" >&2; \
	  else echo "no $$package ($$(tail -n 1 log)): tests that need it are skipped; on Debian: apt-get update, then make again" >&2; fi; \
	  rm -f $${package}_*.deb log; done

# These two have to be installed: what they need lies in many places of the system. Nothing of them runs by itself.
BOOT = debootstrap:debootstrap systemd-nspawn:systemd-container
boot-tools: # what tests/booted needs to boot a Debian
	@for tool in $(BOOT); do \
	  program=$${tool%:*} package=$${tool#*:}; \
	  if PATH=$$PATH:/usr/sbin command -v $$program >/dev/null; then continue; fi; \
	  if [ "$$(id -u)" != 0 ]; then why="only root may install it"; \
	  elif ! command -v apt-get >/dev/null; then why="this is no Debian"; \
	  elif { apt-get -qq install -y --no-install-recommends $$package || \
	    { apt-get -qq update && apt-get -qq install -y --no-install-recommends $$package; }; } >/dev/null 2>&1; \
	  then echo "$$package was installed: tests/booted boots a Debian with it" >&2; continue; \
	  else why="apt-get install failed"; fi; \
	  echo "no $$program ($$why): tests/booted is skipped; on Debian: sudo apt-get install $$package" >&2; done

dev: $(VENV)/.dev ## the venv with everything that tests need

# On a terminal the monitor is a job of its own, so that Ctrl-C ends it and not make, and its status counts.
run: $(VENV)/.core ## the monitor on the simulated exchange; ADDRESS=0x... watches that account on mainnet
	@$(if $(filter undefined,$(origin ADDRESS)),,$(if $(ADDRESS),,echo "ADDRESS is empty: make run ADDRESS=0x... watches an account, make run alone simulates one" >&2; exit 2;)) \
	set -- $(BIN)/hlposmon run $(if $(ADDRESS),--address $(ADDRESS),--simulate) $(ARGS); \
	if [ -t 0 ]; then exec bash -mc '"$$@"; exit $$?' run "$$@"; else exec "$$@"; fi

# npm's libraries of the JavaScript examples, as pinned; nothing of them is shipped.
EXAMPLES := docs/examples/node_modules/.package-lock.json
$(EXAMPLES): docs/examples/package-lock.json
	@if ! command -v npm >/dev/null; then \
	  echo "npm is not installed: the tests of the JavaScript examples are skipped; on Debian: apt install nodejs npm" >&2; \
	elif (cd docs/examples && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2); then touch $@; \
	else echo "the examples' libraries could not be had from npm: their tests are skipped" >&2; fi

examples: $(EXAMPLES) # what the tests of docs/examples need

NEEDS = $(VENV)/.dev $(EXAMPLES) debian-tools boot-tools
# What chosen tests need, by what their names say: nothing is installed into the system for one that boots none.
# Where a name says too little, the tests that lack something are skipped and say what.
USING = docs cli journal monitoring alert shell
CHOSEN = $(VENV)/.dev $(if $(findstring docs,$(ARGS)),$(EXAMPLES)) $(if $(findstring booted,$(ARGS)),boot-tools) \
  $(if $(strip $(foreach name,$(USING),$(findstring $(name),$(ARGS)))),debian-tools)
# One machine is booted for all tests of tests/booted, one after another; they mostly wait, so it is beside the others.
test: $(if $(ARGS),$(CHOSEN),$(NEEDS)) ## all tests; ARGS=tests/domain runs those
	@$(if $(ARGS),$(BIN)/python -m pytest $(PYTEST) $(ARGS), \
	$(BIN)/python -m pytest -n 0 -q tests/booted >$(VENV)/booted.log 2>&1 & booted=$$!; \
	trap 'kill $$booted 2>/dev/null' INT TERM; status=0; \
	$(BIN)/python -m pytest $(PYTEST) --ignore tests/booted $(OTHERS) || status=$$?; \
	echo "tests/booted:"; wait $$booted || status=$$?; cat $(VENV)/booted.log; exit $$status)

coverage: $(NEEDS) ## all tests, with the coverage of every process
	rm -f .coverage .coverage.*
	$(BIN)/python -m pytest $(PYTEST) --ignore tests/booted --cov --cov-report= $(ARGS)
	$(BIN)/coverage report --fail-under=85
	$(BIN)/coverage report --include='hlposmon/domain/*' --fail-under=100

RUNS ?= 1000
# Runs mostly wait: three for each processor.
JOBS ?= $(shell echo $$((3 * $$(nproc))))
SEED ?=
chaos: $(VENV)/.dev ## RUNS=1000 of the whole service under faults, JOBS= at a time; SEED= repeats one. Writes docs/reliability.md
	$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED),--runs $(RUNS) --jobs $(JOBS) --write docs/reliability.md) $(ARGS)

LIVES ?= 200000
simulate: $(VENV)/.dev ## LIVES=200000 in virtual time; SEED= traces one. Writes docs/reliability.md
	$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--lives $(LIVES) --write docs/reliability.md) $(ARGS)

soak: $(VENV)/.dev ## seven days in seventeen minutes: memory, descriptors, audit files. Writes docs/reliability.md
	$(BIN)/python -m tests.chaos.soak --write docs/reliability.md $(ARGS)

flow: $(VENV)/.dev ## an hour of 200 fills a second, and no false alarm. Writes docs/reliability.md
	$(BIN)/python -m tests.chaos.flow --minutes 60 --rate 200 --write docs/reliability.md $(ARGS)

bench: $(VENV)/.dev ## the whole service and its parts, beside others; half an hour. Writes docs/performance.md
	$(BIN)/python -m tests.bench $(ARGS)

# make test holds the same, with a shorter day. HLPOSMON_SUITE=trixie boots another Debian.
test-systemd: $(VENV)/.dev boot-tools ## the service on a booted Debian, and 24 simulated hours of it; as root
	HLPOSMON_MUST_BOOT=1 HLPOSMON_HOUR_S=10 $(BIN)/python -m pytest -n 0 -v tests/booted $(ARGS)

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

monitoring: $(NEEDS) ## metrics, rules and dashboard, looked over by promtool and a Prometheus
	$(BIN)/python -m pytest $(PYTEST) tests/monitoring $(ARGS)

domain: $(VENV)/.dev # every branch of the domain is tested
	$(BIN)/python -m pytest $(PYTEST) -q tests/domain --cov=hlposmon.domain --cov-branch --cov-report=term-missing:skip-covered --cov-fail-under=100

# The domain's tests run once, by the target that measures them.
check: OTHERS = --ignore tests/domain
check: lint types imports test domain ## lint, types, imports and tests: what CI runs

dist: $(VENV)/.dev ## sdist and wheel in dist/
	rm -rf build dist
	$(BIN)/python -m build --outdir dist .

# A folder of its own, not taken from the environment: what stands there is replaced as a whole.
PREFIX = /opt/hlposmon
override PREFIX := $(patsubst %/,%,$(PREFIX))
# What an installation replaces or removes has to be one; /usr/local is not.
define OURS
case '$(PREFIX)' in *..*|*[!A-Za-z0-9/._+@-]*) ;; /*[!/]*) ok=yes;; esac; \
if [ "$$ok" != yes ]; then echo "PREFIX has to be a path from / on, of letters, digits and /._+@-, not '$(PREFIX)'" >&2; exit 2; fi; \
if [ ! -e '$(AT)' ] && [ -e '$(AT).old' ]; then mv -T '$(AT).old' '$(AT)'; fi; \
if [ -e '$(AT)' ] && ! { [ -f '$(AT)/pyvenv.cfg' ] && [ -e '$(AT)/bin/hlposmon' ]; }; then \
  echo "$(AT) is there and is no installation of hlposmon: nothing was changed; give PREFIX a folder of its own" >&2; exit 2; fi
endef
AT = $(DESTDIR)$(PREFIX)
NEW = $(AT).new
SOURCES = hlposmon systemd etc man setup.cfg pyproject.toml MANIFEST.in README.md LICENSE constraints.txt constraints-build.txt
PIP = '$(NEW)/bin/python' -m pip -q --disable-pip-version-check install --no-compile --no-build-isolation

# Put together beside the old one, which runs until the new one is whole; scripts and byte code name the place
# where it will be. The service is restarted on it by 'hlposmon setup'; when that fails the old one comes back.
# The sources are copied, so that nothing of root's is left in a checkout.
install: ## a system service: PREFIX (/opt/hlposmon), the command, units, configuration, cron, manual; honours DESTDIR
	@$(OURS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "hlposmon needs Python 3.11 or newer: make PYTHON=python3.12 install" >&2; exit 1; }
	@$(if $(DESTDIR),,[ $$(id -u) = 0 ] || { echo "make install writes to $(PREFIX), /etc and /usr/local: run it as root (sudo make install), or give DESTDIR" >&2; exit 1; })
	@rm -rf '$(NEW)' && umask 022 && \
	{ $(PYTHON) -m venv --prompt '$(notdir $(PREFIX))' '$(NEW)' || { echo "the venv could not be made; on Debian: apt install python3-venv" >&2; false; }; } && \
	mkdir '$(NEW)/sources' && cp -R $(SOURCES) '$(NEW)/sources' && chmod -R u+rwX,go=rX '$(NEW)/sources' && \
	echo "installing the pinned dependencies, and hlposmon" >&2 && \
	$(PIP) --require-hashes -r constraints-build.txt && \
	$(PIP) --require-hashes -r constraints.txt && \
	$(PIP) --no-deps '$(NEW)/sources' && \
	'$(NEW)/bin/python' -m pip -q uninstall -y setuptools && \
	rm -rf '$(NEW)/sources' && \
	{ grep -rlIZ '$(NEW)' '$(NEW)/bin' '$(NEW)/pyvenv.cfg' | xargs -0r sed -i 's|$(NEW)|$(PREFIX)|g'; } && \
	'$(NEW)/bin/python' -m compileall -q -f -s '$(NEW)' -p '$(PREFIX)' '$(NEW)/lib' || { rm -rf '$(NEW)'; exit 1; }
	@if [ -e '$(AT)' ]; then rm -rf '$(AT).old'; fi && if [ -e '$(AT)' ]; then mv -T '$(AT)' '$(AT).old'; fi && mv -T '$(NEW)' '$(AT)' && \
	if '$(AT)/bin/python' '$(AT)/bin/hlposmon' setup $(if $(DESTDIR),--destdir '$(DESTDIR)'); then rm -rf '$(AT).old'; \
	else rm -rf '$(AT)'; if [ -e '$(AT).old' ]; then mv -T '$(AT).old' '$(AT)'; echo "the installation before is back in $(AT)" >&2; fi; exit 1; fi

# By this checkout, in case the installed one is broken.
REMOVE = PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=. $(PYTHON) -m hlposmon.installation
uninstall: ## what install put there; state and logs stay, and beside the state what you changed in /etc
	@$(OURS)
	@$(REMOVE) remove $(if $(DESTDIR),--root '$(DESTDIR)')
	rm -rf '$(AT)'

purge: ## what install put there, with state, logs and the user
	@$(OURS)
	@$(REMOVE) purge $(if $(DESTDIR),--root '$(DESTDIR)')
	rm -rf '$(AT)'

clean: ## everything that make made
	rm -rf docs/examples/node_modules .venv .venv-* build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage*
	find hlposmon tests -name __pycache__ -type d -exec rm -rf {} +
