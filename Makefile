# `make up` and `make test` are complete on a fresh machine; everything else is a part of them.
SHELL := bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STACK ?= local
export CLOUD ?= # CLOUD=real: the account that you are logged in to, instead of stand-ins
OF_PACK := tests/rules tests/policies tests/process tests/mutants tests/corpus
TOGETHER := -n 3 --dist loadfile # tests of one file share a cluster; they mostly wait
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup toolchain toolchain-tests up down roll recover status plan check test test-unit test-policies test-engine test-engines test-faults test-stacks accuracy mutants placement bench generate pack lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

# --- set-up ---------------------------------------------------------------------------------------------------------

setup: $(VENV)/.ready ## the virtual environment

$(VENV)/.ready: requirements.lock pyproject.toml requirements.txt
	@echo "virtual environment: installing pinned requirements (about a minute)"
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

toolchain: setup ## the Pulumi engine and the embedded cluster's parts, built once and cached outside this clone
	@$(BIN)/python -m toolchain.build

toolchain-tests: setup
	@$(BIN)/python -m toolchain.build --tests

# --- the main job ---------------------------------------------------------------------------------------------------

up: toolchain ## plan and create a stack on this machine: STACK=local, or a cloud's, played by stand-ins
	@$(BIN)/python -m toolchain.local up $(STACK)

down: setup ## destroy it, stop its cluster, leave nothing
	@$(BIN)/python -m toolchain.local down $(STACK)

roll: toolchain ## raise each engine of the running stack to its next version, and watch that pods stay ready
	@$(BIN)/python -m toolchain.roll $(STACK)

recover: setup ## after an update that was cut off: take over what it made and nobody recorded (docs/recovery.md)
	@$(BIN)/python -m toolchain.recover $(STACK)

status: setup ## what runs
	@$(BIN)/python -m toolchain.cluster status

plan: setup ## the plan of the local stack
	@$(BIN)/modelberth plan $(STACK)

# --- tests ----------------------------------------------------------------------------------------------------------

check: setup ## ruff, pyright, import-linter, generated files
	@$(BIN)/ruff format --check --quiet . || { echo "run: $(BIN)/ruff format ."; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/python scripts/generate --check
	@$(BIN)/python -m benchmarks.accuracy.report --check
	@$(BIN)/lint-imports --no-cache > /dev/null || $(BIN)/lint-imports --no-cache
	@$(BIN)/pyright --warnings

test-unit: setup ## the pure tests, without those of the pack
	@$(BIN)/python -m pytest -q -n 2 -m "not engine" $(OF_PACK:%=--ignore %)

test-policies: setup ## the rules, their examples through the pack's process, mutants and corpus
	@$(BIN)/python -m pytest -q -n 2 -m "not engine" $(OF_PACK)

test-engine: toolchain-tests ## tests under the real engine, API server and scheduler
	@$(BIN)/python -m pytest -q $(TOGETHER) -m engine

test-engines: setup ## servers of inference engines on this CPU (5 GB, ten minutes); writes docs/engines/verified.md
	@$(BIN)/python -m pytest -q -m "inference or proves" --verified
	@$(BIN)/python scripts/generate

test-faults: toolchain-tests ## cut off and refuse a stack at each of its calls (OF=up: one scenario of tests/faults)
	@$(BIN)/python -m pytest -q -m faults tests/faults $(OF:%=-k "%")

test-stacks: toolchain-tests ## every stack and every example on stand-ins: up, up again, down
	@$(BIN)/python -m pytest -q -m stacks

test: toolchain-tests check ## everything but test-engines, test-stacks and test-faults
	@$(BIN)/python -m pytest -q $(TOGETHER)

accuracy: setup ## predictions against measured rows, written to docs/accuracy.md
	@$(BIN)/python -m benchmarks.accuracy.report

mutants: setup ## one field changed at a time: which rule notices, and how many live
	@$(BIN)/python -m tests.mutants

placement: toolchain-tests ## every machine type before the real scheduler (minutes); writes docs/placement.md
	@$(BIN)/python -m tests.placement

bench: setup ## timings
	@for file in benchmarks/*.py; do $(BIN)/python $$file; done

# --- maintenance ----------------------------------------------------------------------------------------------------

generate: setup ## files that follow from the schema
	@$(BIN)/python scripts/generate

pack: setup ## the policy pack as a folder of its own, for pulumi policy publish
	@$(BIN)/python scripts/published_pack.py

lock: setup ## resolve requirements.lock anew, and what the engines of tests need
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip compile --quiet pyproject.toml --group dev --generate-hashes --universal \
	  --python-version 3.11 --no-header --no-emit-index-url --no-emit-find-links --upgrade -o requirements.lock
	@cd toolchain; for lock in parser-sources "parsers --override parsers-overrides.txt" \
	  "vllm-server --override vllm-server-overrides.txt" moto; do set -- $$lock; \
	  ../$(BIN)/uv pip compile --quiet $$1.in $${@:2} $$([ $$1 = parser-sources ] && echo --no-deps) --generate-hashes \
	  --python-version 3.11 --python-platform x86_64-manylinux_2_34 --no-header --no-emit-index-url \
	  --no-emit-find-links -o $$1.lock; done

clean: down ## the virtual environment and everything this clone made
	@rm -rf $(VENV) .modelberth *.egg-info build dist policies-dist
