# Each target sets up what it needs. Only Python 3.11 or newer must be there.
PYTHON ?= python3
VENV ?= .venv
# The environment without torch, and what is tested there.
BARE ?= .venv-bare
BARE_TESTS ?= tests
# The environment with JAX, which no torch shares.
FLAX ?= .venv-flax
# Tests of its own, and of what depends on the versions of the Hub and tokenizers.
FLAX_TESTS := tests/flax tests/faults/test_flax.py tests/unit/storage/models \
  tests/unit/producer/models tests/integration/storage/models
# The packages of quantised weights. With them, each process takes longer to start.
QUANTIZE ?= .venv-quantize
QUANTIZE_TESTS := tests/integration/workers/engine/test_quantisation.py \
  tests/integration/workers/engine/test_gguf.py
# Most tests wait for processes; those of a file share what they set up.
PARALLEL := -n 3 --dist loadfile --no-loadscope-reorder
SUITE := not slow and not gpu and not web and not cluster
# For `make steady`: runs, and busy loops beside every second one.
TIMES ?= 20
BUSY ?= 6
# Tests start hundreds of processes: each may keep what it compiles for the next.
unexport PYTHONDONTWRITEBYTECODE
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: help demo demo-flax answer setup setup-flax lint test test-long coverage test-web test-bare test-flax test-quantize steady cluster soak gpu clean

help:
	@echo "make demo       a first sweep with its picture, on any machine"
	@echo "make demo-flax  a sweep on JAX, in an environment of 1 GB"
	@echo "make answer     a sweep that answers a question, with its report; some minutes"
	@echo "make setup      the development environment in $(VENV)"
	@echo "make setup-flax the environment of the Flax back end in $(FLAX), 1 GB"
	@echo "make lint       formatting, rules, types and imports"
	@echo "make test       the quick tests (8 minutes on two cores)"
	@echo "make test-long  those that repeat what a quick one shows, by other values"
	@echo "make coverage   both, and at least 90 % of the branches"
	@echo "make test-web   the tests of the gallery, in Chromium; root installs it on Debian"
	@echo "make test-bare  those tests that need no torch, where it is not installed"
	@echo "make test-flax  the tests of the Flax back end, with JAX"
	@echo "make test-quantize  the tests of quantised weights, with torchao and gguf"
	@echo "make steady     the tests of faults and integration, TIMES=20, half beside BUSY=6 loops"
	@echo "make cluster    two hosts of workers whose network fails; root on Linux"
	@echo "make soak       the slow tests"
	@echo "make gpu        the tests that need a CUDA device"

demo: $(VENV)/.demo
	$(BIN)/nightsweep run examples/first-sweep.yaml
	@echo "The picture:"
	@$(BIN)/nightsweep grid first-sweep

demo-flax: $(FLAX)/.ready
	$(FLAX)/bin/nightsweep run examples/flax.yaml
	@echo "The picture:"
	@$(FLAX)/bin/nightsweep grid flax

answer: $(VENV)/.demo
	$(BIN)/nightsweep run examples/answer.yaml
	$(BIN)/nightsweep compare answer
	@echo "The page, to open in a browser:"
	@$(BIN)/nightsweep report answer

setup: $(VENV)/.dev

setup-flax: $(FLAX)/.ready

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: $(VENV)/.dev
	$(BIN)/python -m pytest -q -m "not long and $(SUITE)" $(PARALLEL)

test-long: $(VENV)/.dev
	$(BIN)/python -m pytest -q -m "long and $(SUITE)" $(PARALLEL)

coverage: $(VENV)/.dev
	$(BIN)/python -m pytest -q -m "$(SUITE)" $(PARALLEL) --cov --cov-report=term:skip-covered

test-web: $(VENV)/.browser
	@chromium="$$(.ci/chromium)" && \
	  CHROMIUM="$$chromium" $(BIN)/python -m pytest -q -m web tests/web

test-bare: $(BARE)/.ready
	$(BARE)/bin/python -m pytest --bare -q -m "$(SUITE)" $(PARALLEL) $(BARE_TESTS)

test-flax: $(FLAX)/.ready $(VENV)/.demo
	TORCH=$(BIN)/python $(FLAX)/bin/python -m pytest -q --bare $(FLAX_TESTS)

test-quantize: $(VENV)/.dev $(QUANTIZE)/.ready
	PYTHONPATH=$(QUANTIZE) $(BIN)/python -c "import gguf, torchao"
	PYTHONPATH=$(QUANTIZE) $(BIN)/python -m pytest -q $(QUANTIZE_TESTS)

steady: $(VENV)/.dev
	$(BIN)/python -m tests.steady --times $(TIMES) --busy $(BUSY) -m "not slow" $(PARALLEL) tests/faults tests/integration

# Cuts what connects hosts, which are network namespaces. Needs root, Linux, iproute2,
# PostgreSQL's server and a C compiler.
cluster: $(VENV)/.dev
	$(BIN)/python -m pytest -q -m cluster tests/cluster

soak: $(VENV)/.dev
	$(BIN)/python -m pytest -q -m slow --timeout 3600

gpu: $(VENV)/.dev
	$(BIN)/python -m pytest -q -m gpu tests/gpu

clean:
	rm -rf $(VENV) $(BARE) $(FLAX) $(QUANTIZE) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache

$(VENV)/bin/python $(BARE)/bin/python $(FLAX)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "nightsweep needs Python 3.11 or newer; name one with PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(@D:/bin=)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install -q -c constraints.txt -e '.[torch,web]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install -q -c constraints.txt -e '.[torch,web,postgres,dev]'
	@touch $@ $(VENV)/.demo

# Beside what `setup` or `demo` installed, if either has.
$(VENV)/.browser: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install -q -c constraints.txt -e '.[browser]'
	@touch $@

$(BARE)/.ready: pyproject.toml constraints.txt | $(BARE)/bin/python
	$(BARE)/bin/python -m pip --disable-pip-version-check install -q -c constraints.txt -e '.[web,postgres,test]'
	@touch $@

$(QUANTIZE)/.ready: constraints.txt | $(VENV)/.dev
	$(PIP) install -q -c constraints.txt --no-deps --upgrade --target $(@D) gguf torchao
	@touch $@

$(FLAX)/.ready: pyproject.toml constraints-flax.txt | $(FLAX)/bin/python
	$(FLAX)/bin/python -m pip --disable-pip-version-check install -q -c constraints-flax.txt -e '.[flax,postgres,test]'
	@touch $@
