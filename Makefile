# The one door. Everything a person or CI does here is one of these targets.
PYTHON ?= python3.11
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: run test check test-all bench lock docs clean
.DELETE_ON_ERROR:

.venv/run.stamp: requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "needs Python 3.11 or newer as '$(PYTHON)': apt-get install python3.11 python3-venv, or make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "'$(PYTHON)' is older than 3.11 or has no venv module: apt-get install python3-venv"; exit 1; }
	@echo "setting up .venv (once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev.stamp: .venv/run.stamp requirements-dev.lock
	@$(BIN)/pip install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

run: .venv/run.stamp     ## start the gateway in front of a real server and play the demonstration (DEMO=once: exit with its verdict)
	@$(BIN)/python -m examples.demo $(if $(filter once,$(DEMO)),--once)

test: .venv/dev.stamp    ## the suite (Python only)
	@$(BIN)/pytest -q -n 2 -m "not slow"

lock:                    ## renew both lock files (no addresses in them)
	@$(BIN)/uv pip compile -q --generate-hashes --no-emit-index-url --no-header --no-annotate --python-version 3.11 --extra build -o requirements.lock pyproject.toml
	@$(BIN)/uv pip compile -q --generate-hashes --no-emit-index-url --no-header --no-annotate --python-version 3.11 --extra build --extra dev -o requirements-dev.lock pyproject.toml
