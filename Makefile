# Short names for the scripts in dev/, which work without make too. Every target prepares the environment first (dev/bootstrap).
.DEFAULT_GOAL := help
.PHONY: help demo ui stop test mysql browser fuzz faults check docs constraints clean nightly

PYTHON_HERE := .venv/bin/python
# More arguments for the program that a target runs: make test ARGS='-k aliases -x'
ARGS ?=

help: ## this list
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 20

demo: ## import a sample bucket into a private MariaDB through Dagster, and ask questions of it
	@dev/demo $(ARGS)

ui: ## Dagster's UI on the demo, until Ctrl-C
	@dev/ui $(ARGS)

stop: ## stop everything that demo and ui started; the data stays
	@dev/stop

test: ## all tests, against servers of their own (ARGS='-k aliases -x')
	@dev/test $(ARGS)

mysql: ## the tests of the database, on MySQL
	@dev/test --mysql $(ARGS)

browser: ## the UI in a real browser, as an operator uses it
	@dev/test --browser $(ARGS)

fuzz: ## fuzz the reader (ARGS=600: for ten minutes)
	@dev/fuzz $(ARGS)

faults: ## disturb imports by every fault once, and compare the tables (ARGS='--rounds 10 --only deadlock')
	@dev/bootstrap && $(PYTHON_HERE) -m faults $(ARGS)

check: ## rules, format, types
	@dev/check

docs: ## serve the documentation site (ARGS='--build FOLDER': build it)
	@dev/docs $(ARGS)

nightly: ## what is slow and rarely breaks
	@dev/nightly

constraints: ## write constraints.txt with the newest versions
	@dev/bootstrap && dev/constraints

clean: ## remove the demo with its data, and what builds and tools leave behind
	@dev/clean
