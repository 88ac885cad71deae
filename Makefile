# Needs Python 3.11 or newer and make, nothing else: no system FFmpeg, no GPU.

PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(shell command -v $(name))))
TEST_WORKERS ?= 2
CONSTRAINTS ?= constraints.txt

BIN := .venv/bin
INSTALLED := .venv/installed
INSTALLED_DEV := .venv/installed-dev
INSTALLED_BENCH := .venv/installed-bench
BENCHMARKS := reading loading views training_step scale search motion_vectors

# one thread for each process: the sums are then the same on every machine, and test processes do not fight for cores
RUN_TESTS := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_WORKERS)

.DEFAULT_GOAL := help
.PHONY: help install install-dev demo test test-slow bench bench-quick clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /|/' | awk -F'|' '{printf "make %-12s %s\n", $$1, $$2}'

install: $(INSTALLED) ## make .venv and install reelvec with the tested versions

install-dev: $(INSTALLED_DEV) ## the same, with what the tests and checks need

demo: install ## make videos, train two methods on them, compare, search (minutes, on a CPU)
	$(BIN)/reelvec demo

test: install-dev ## lint, format, types, import contract and tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(RUN_TESTS)

test-slow: install-dev ## the tests that take minutes, and the property tests with many new examples
	$(RUN_TESTS) -m slow
	$(RUN_TESTS) -m hypothesis --hypothesis-profile=thorough

bench: $(INSTALLED_BENCH) ## speed beside the peers, which it installs; keeps the results and writes docs/speed.md
	set -e; for name in $(BENCHMARKS); do $(BIN)/python benchmarks/$$name.py --out benchmarks/results/$$name.json; done
	$(BIN)/python benchmarks/speed_page.py

bench-quick: $(INSTALLED) ## show that the benchmarks run, in seconds each; the figures mean nothing
	set -e; for name in $(BENCHMARKS); do $(BIN)/python benchmarks/$$name.py --quick; done

clean: ## remove what these targets made; runs/ and your own folders stay
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/pyvenv.cfg:
	$(PYTHON) -m venv .venv

$(INSTALLED): .venv/pyvenv.cfg pyproject.toml $(CONSTRAINTS)
	$(BIN)/python -m pip install --constraint $(CONSTRAINTS) --editable .
	touch $@

$(INSTALLED_DEV): .venv/pyvenv.cfg pyproject.toml $(CONSTRAINTS)
	$(BIN)/python -m pip install --constraint $(CONSTRAINTS) --editable '.[dev]'
	touch $@

$(INSTALLED_BENCH): .venv/pyvenv.cfg pyproject.toml $(CONSTRAINTS)
	$(BIN)/python -m pip install --constraint $(CONSTRAINTS) --editable '.[bench]'
	touch $@
