# make demo   set everything up and run the main experiment
# make test   set everything up, check style, types and imports, and run the tests
# make help   the rest

VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := $(abspath $(VENV))/bin
STAMP := $(VENV)/.up-to-date
STORE ?= runs/sal_digits
INSTALLED := build/check
TESTS ?= tests

.DEFAULT_GOAL := help
.PHONY: help setup demo test check lint types imports pytest clean

help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' Makefile
	@echo "make setup | lint | types | imports | pytest | clean     VENV=$(VENV) PYTHON=$(PYTHON)"

setup: $(STAMP)

# The stamp is written last, so an installation that was interrupted is done again.
$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "make: no python3.11 or python3 on the path; give one with PYTHON=..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt setuptools -e '.[dev]'
	@touch $@

# --resume starts an absent store, goes on with a stopped one and is content with a finished one.
demo: $(STAMP)
	$(BIN)/neurosal run sal_digits --store $(STORE) --resume

test: check

check: lint types imports pytest

lint: $(STAMP)
	$(BIN)/ruff check .

# Type checkers and import-linter follow neither package-dir nor editable installs: they read an installed copy.
# A build folder left by an earlier version would put deleted modules into it.
$(INSTALLED)/.copy: $(STAMP) pyproject.toml $(shell find neurosal circuits experiments analysis -name '*.py' 2>/dev/null)
	@rm -rf $(INSTALLED) build/lib build/bdist.*
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --target $(INSTALLED) .
	@touch $@

types: $(INSTALLED)/.copy
	cd $(INSTALLED) && $(BIN)/mypy --config-file $(CURDIR)/pyproject.toml --cache-dir $(CURDIR)/build/mypy -p neurosal

imports: $(INSTALLED)/.copy
	cd $(INSTALLED) && $(BIN)/lint-imports --config $(CURDIR)/pyproject.toml --cache-dir $(CURDIR)/build/imports

# One thread a worker: two workers that each open a thread pool are slower than one.
pytest: $(STAMP)
	OMP_NUM_THREADS=1 MPLBACKEND=agg $(BIN)/pytest -n 2 --dist loadfile $(TESTS)

clean:
	rm -rf build dist .venv *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
