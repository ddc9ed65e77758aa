# Two commands matter: `make demo` and `make test`. Both begin with `make setup`, which does only what is not done yet.

SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON := .venv/bin/python
LAB_MEMORY ?= 3g
LAB_TIMEOUT ?= 35m
# TURNS=DIR: an empty folder by which several `make test-kernel` share the tests among them
TURNS ?=
# TESTS narrows a run: make test-host TESTS=tests/trace, make test-kernel TESTS="tests/domain -k oom"
TESTS ?= tests
SOURCES := src tests bench demo hatch_build.py

.NOTPARALLEL:
.PHONY: help setup setup-agents setup-real-agents setup-lab demo lock test test-host test-kernel test-real-agents \
        check lint types layers docs format bench clean distclean

help: ## list these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

setup: ## install what is missing, make .venv with the `agentcgroup` command
	@tools/setup

setup-agents: ## the same, and .venv-agents with mini-swe-agent for the tests
	@tools/setup agents

setup-real-agents: setup ## the large agents (Claude Code, Codex, OpenCode, Gemini CLI; about 1 GB)
	@tools/setup-real-agents

demo: setup ## two agents side by side: a plain container limit, then agentcgroup
	$(PYTHON) -m demo

lock: ## recompile requirements/*.txt; UPGRADE=1 takes newer versions
	@tools/lock

test: setup-agents setup-lab ## all tests: those of the host, beside them the kernel's in the lab
	@tools/test

# The first boot fetches a kernel; the tests should not be the ones to wait for it.
setup-lab: setup
	@.venv/bin/agentcgroup lab prepare

test-host: setup-agents setup-lab ## the tests that need no special kernel
	$(PYTHON) -m pytest --timeout 300 -m "not kernel and not agents" --durations 25 $(TESTS)

# One boot for all kernel tests. The bytecode is written here because what the guest writes vanishes with it, and
# compiling is slow in there.
test-kernel: setup-agents setup-lab ## the tests that need a modern kernel, in the lab
	@$(PYTHON) -m compileall -q src tests
	.venv/bin/agentcgroup lab run --memory $(LAB_MEMORY) --timeout $(LAB_TIMEOUT) $(if $(TURNS),--share $(TURNS)) -- \
	    tools/test-guest $(if $(TURNS),--turns $(TURNS)) \
	    --timeout 300 -m "kernel and not agents" --require-kernel --durations 25 $(TESTS)

test-real-agents: setup-real-agents ## the tests with the large agents
	$(PYTHON) -m pytest -m agents $(TESTS)

check: lint types layers docs ## everything .ci/run checks before the tests

lint: setup ## format check and ruff
	.venv/bin/ruff format --check $(SOURCES)
	.venv/bin/ruff check $(SOURCES)

types: setup ## mypy, strict
	.venv/bin/mypy $(SOURCES)

layers: setup ## imports point down only
	.venv/bin/lint-imports

docs: setup ## build the documentation into site/
	.venv/bin/mkdocs build --strict --quiet

format: setup ## format the Python sources
	.venv/bin/ruff format $(SOURCES)
	.venv/bin/ruff check --fix $(SOURCES)

bench: setup ## measure what a call costs
	$(PYTHON) -m bench

clean: ## remove what builds and checks left
	rm -rf build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .cache/ci
	rm -f src/agentcgroup/client/agentcgroup-client src/agentcgroup/bpf/*.bpf.o
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## and the environments that set-up made
	rm -rf .venv .venv-agents .cache
