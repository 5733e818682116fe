# `make demo`: install, train, print the tables. `make test`: install, run the tests.
# PYTHON names any Python >= 3.10. TORCH_INDEX names another index for torch: on Linux without an
# NVIDIA GPU https://download.pytorch.org/whl/cpu saves most of the download.

PYTHON ?= python3
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo test test-slow test-stops test-slurm test-plugins lint format bench bench-peers clean

demo: $(VENV)/.installed
	$(BIN)/ganbench run --loss nonsat --opt sgd
	$(BIN)/ganbench run --loss nonsat --opt adam
	$(BIN)/ganbench table

test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4

test-slow: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m slow

# Processes that are killed, stopped, run twice at once, or run out of disk.
test-stops: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m slow tests/test_kill.py tests/test_sweep.py

# On a SLURM cluster of one node, which is brought up and taken down; needs root, slurm-wlm, munge.
# ganbench-dask lies beside the environment, so that other tests see ganbench without it.
test-slurm: $(VENV)/.installed-dev
	$(PIP) install 'distributed>=2024.8'
	$(PIP) install --upgrade --no-deps --target $(VENV)/dask ./plugins/ganbench-dask
	PYTHONPATH=$(VENV)/dask scripts/slurm.sh run $(BIN)/python -m pytest -m slow \
		tests/test_slurm.py tests/test_backends_agree.py

test-plugins:
	PYTHON="$(PYTHON)" BASE="$(BIN)/python" TORCH_INDEX="$(TORCH_INDEX)" scripts/test_plugins.sh

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-dev
	$(BIN)/python -m pytest benchmarks -m "" --benchmark-only --benchmark-columns=median,iqr,rounds

bench-peers: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/peers/run.py --docs docs/performance.md

clean:
	rm -rf $(VENV) .venv-plugins

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "ganbench needs Python 3.10 or newer; $(PYTHON) is not. Name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || $(PYTHON) -m virtualenv --quiet $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) can't make virtual environments. Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

# torch first and alone, so that TORCH_INDEX is asked for nothing else.
$(VENV)/.torch: | $(BIN)/python
	$(if $(TORCH_INDEX),$(PIP) install --index-url $(TORCH_INDEX) torch torchvision)
	@touch $@

$(VENV)/.installed: pyproject.toml $(VENV)/.torch
	@echo "Installing into $(VENV); torch is large, so this takes some minutes."
	$(PIP) install --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml $(VENV)/.torch
	@echo "Installing into $(VENV); torch is large, so this takes some minutes."
	$(PIP) install --editable '.[dev]'
	@touch $@ $(VENV)/.installed
