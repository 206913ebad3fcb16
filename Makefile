# Two commands on a fresh machine: `make run` shows the product at work, `make test` tests it.
# What they need they install themselves, and say so beforehand (see deploy/provision).

PYTHON ?= python3
BIN := .venv/bin
SETUP := PYTHONPATH=deploy $(PYTHON) -m provision

.DEFAULT_GOAL := help
.PHONY: help run test check format bench setup base protos lock stop purge

help:  ## List what there is to do
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  BASE=<image@digest>  take the tools' base image from a registry; YES=1  ask nothing"

run: setup  ## Play a scripted agent against a real broker, and show what happened
	@$(BIN)/sandbox-broker demo

test:  ## Run every test, against the real engine
	@$(SETUP) test
	@$(BIN)/pytest --durations=25 $(TESTS)

check:  ## Look for breaches of the house rules (works offline after the first time)
	@$(SETUP) check
	@$(BIN)/python deploy/checks.py

format:  ## Mend what can be mended without thinking
	@$(SETUP) check
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format --quiet
	@$(BIN)/buf format --write protos

bench:  ## Measure; print a table, write build/bench.json
	@$(SETUP) test
	@$(BIN)/python -m tests.bench

setup:  ## Install what the broker needs: environment, engine, images
	@$(SETUP) run

base:  ## Build the base image again, from today's packages
	@$(SETUP) base

protos:  ## Write the committed stubs from protos/
	@$(SETUP) check
	@build/protos-env/bin/python deploy/stubs.py write

# Hashes, and no index: where packages come from is the machine's business.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url $(UPGRADE)
LOCKS := deploy/lock

lock:  ## Pin the dependencies again (UPGRADE=--upgrade for the newest)
	@$(SETUP) check
	$(COMPILE) pyproject.toml --extra server --group build --output-file $(LOCKS)/server.txt
	$(COMPILE) pyproject.toml --extra server --group build --group dev \
		--constraint $(LOCKS)/server.txt --output-file $(LOCKS)/dev.txt
	$(COMPILE) --group protos --output-file $(LOCKS)/protos.txt
	$(COMPILE) --group node --output-file $(LOCKS)/node.txt

stop:  ## Stop the broker, its containers, and the engine if set-up started it
	@$(SETUP) stop

purge:  ## Stop, and remove images, environment and state (YES=1: the packages as well)
	@$(SETUP) purge
