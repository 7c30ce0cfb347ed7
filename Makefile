# What a person does with a checkout. Every target makes the environment ready first (dev/bootstrap).
# No make on the machine? Run `dev/bootstrap` once: it installs it.
.DEFAULT_GOAL := help
.PHONY: help demo ui stop test browser fuzz faults lint types docs check constraints clean bootstrap

PYTHON_HERE := .venv/bin/python
# More arguments for the program that a target runs: make test ARGS='-k aliases -x'
ARGS ?=
# How long to fuzz
SECONDS ?= 120

help: ## this list
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 20

demo: bootstrap ## import a sample bucket into a private MariaDB through Dagster, and ask questions of it
	@$(PYTHON_HERE) -m dev.demo $(ARGS)

ui: bootstrap ## Dagster's UI on the demo, until Ctrl-C
	@$(PYTHON_HERE) -m dev.ui $(ARGS)

stop: ## end everything that demo and ui started; the data stays
	@if [ -x $(PYTHON_HERE) ]; then $(PYTHON_HERE) -m dev.stop; fi

# A process for each core and one more, each with servers of its own: some tests mostly wait for Dagster's daemon.
test: bootstrap ## all tests, against servers of their own (ARGS='-k aliases -x')
	@$(PYTHON_HERE) -m pytest -n $$(($$(nproc) + 1)) --dist loadgroup $(ARGS)

# Playwright's own browsers are not needed: it drives Debian's.
browser: bootstrap ## the UI in a real browser, as an operator uses it
	@dev/bootstrap --browser
	@$(PYTHON_HERE) -c 'import playwright' 2>/dev/null || $(PYTHON_HERE) -m pip -qq install -c constraints.txt --group browser
	@$(PYTHON_HERE) -m pytest kmdb_dagster_tests/browser $(ARGS)

# atheris has wheels for Linux on x86-64 and the Pythons 3.11 to 3.13; elsewhere it must be built, with clang.
fuzz: bootstrap ## feed the reader with ever more devious bytes, for so long (SECONDS=120)
	@$(PYTHON_HERE) -c 'import atheris' 2>/dev/null || $(PYTHON_HERE) -m pip -qq install -c constraints.txt --group fuzz
	@$(PYTHON_HERE) -m fuzz.fuzz_reader -max_total_time=$(SECONDS) $(ARGS)

faults: bootstrap ## disturb imports by every fault once, and compare the tables (ARGS='--rounds 10 --only deadlock')
	@$(PYTHON_HERE) -m faults $(ARGS)

lint: bootstrap ## ruff: rules and format
	@$(PYTHON_HERE) -m ruff check .
	@$(PYTHON_HERE) -m ruff format --check .

types: bootstrap ## mypy, strict
	@$(PYTHON_HERE) -m mypy

docs: bootstrap ## the tests that hold the documents to the code
	@$(PYTHON_HERE) -m pytest -k docs $(ARGS)

check: lint types docs ## lint, types, docs

constraints: bootstrap ## write constraints.txt anew, with the newest versions
	@dev/constraints

clean: stop ## remove the demo with its data, and what builds and tools leave behind
	rm -rf var/demo var/fuzz build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .tmp_dagster_home_*
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

bootstrap:
	@dev/bootstrap
