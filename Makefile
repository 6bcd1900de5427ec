# Two commands on a bare machine with Python 3.11+:  make demo  and  make test
# Many seeds of a farm in virtual time, on all cores:   make simulate SEEDS=500
# Real servers that are killed again and again:         make crash KILLS=50 SEED=7
# The agent as a Debian package, into dist/:            make deb
# The agent's tests on Debian's versions of all it uses: make agent-tests SUITE=trixie
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# pip asks rustc for its version, and rustup's stand-in for it would make a directory at home.
NO_RUST := [ -d "$$HOME/.rustup" ] || export RUSTUP_HOME="$${RUSTUP_HOME:-$(CURDIR)/$(VENV)/rustup}"
PIP := $(NO_RUST); $(BIN)/python -m pip install -q --disable-pip-version-check
CHECKED := boruta actors transport dryad
SEEDS ?= 100
WORKERS ?= 20
DAYS ?= 0.25
FAULTS ?= 1
KILLS ?= 50
SUITE ?= bookworm
SEED := $(or $(SEED),$(shell od -An -N2 -tu2 /dev/urandom | tr -d ' '))

.PHONY: demo test simulate crash deb agent-tests lint pykka-suite clean

demo: $(VENV)/.installed
	@$(BIN)/boruta demo

test: $(VENV)/.installed-test
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal

simulate: $(VENV)/.installed
	@$(BIN)/python -m boruta.testing.simulation --seeds $(SEEDS) --workers $(WORKERS) --days $(DAYS) --faults $(FAULTS)

crash: $(VENV)/.installed-test
	@echo "SEED=$(SEED)"
	@BORUTA_KILLS=$(KILLS) BORUTA_SEED=$(SEED) $(BIN)/python -m pytest -q -s tests/crash/test_kills.py

deb: $(VENV)/.installed
	@$(BIN)/python packaging/deb/build.py

agent-tests: $(VENV)/.installed-test
	@$(BIN)/python -m tests.packaging.agent_tests $(SUITE) $(if $(MIRROR),--mirror $(MIRROR))

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check $(CHECKED) tests benchmarks examples packaging
	$(BIN)/mypy $(CHECKED)
	$(BIN)/mypy packaging/deb/*.py
	$(BIN)/lint-imports

pykka-suite: $(VENV)/.installed-test
	@$(BIN)/python -m tests.runtime.pykka_suite

# A stamp for each set of packages lets the second call skip pip.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Boruta needs Python 3.11 or later; this is $$($(PYTHON) --version). Try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "Python's venv module is missing. On Debian and Ubuntu: sudo apt-get install python3-venv"; exit 1; }
	@$(NO_RUST); $(PYTHON) -m venv $(VENV)

$(VENV)/.installed: setup.cfg pyproject.toml | $(VENV)/bin/python
	@$(PIP) -e .
	@touch $@

$(VENV)/.installed-test: setup.cfg pyproject.toml | $(VENV)/bin/python
	@$(PIP) -e '.[test]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-dev: setup.cfg pyproject.toml | $(VENV)/bin/python
	@$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.installed $(VENV)/.installed-test

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
