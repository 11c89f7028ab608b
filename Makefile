# Every target sets itself up: python, make and a C compiler are all a machine needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# pip keeps development on one set of versions; pyproject.toml keeps wide bounds for users
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints-dev.txt

.PHONY: demo test test-slow test-gpu lint format clean virtual-loom

# run-time dependencies only: no torch
$(VENV)/.runtime: pyproject.toml constraints-dev.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.txt
	$(PIP) --requirement requirements-dev.txt --editable '.[train]'
	touch $@

demo: $(VENV)/.runtime
	$(BIN)/glass-edge demo

# the GenTL producer that stands in for a camera: says where its .cti is
virtual-loom: $(VENV)/.runtime
	$(BIN)/python -m glass_edge.acquisition.virtual_loom build

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# files of tests on half as many processes again as there are cores, for many wait for a peer, four at most, for each may
# hold PyTorch and a model; those that compute have a core each, and what the processes that they start import is compiled once
WORKERS = $(shell n=$$(getconf _NPROCESSORS_ONLN); n=$$((n + n / 2)); echo $$((n > 4 ? 4 : n)))
test: lint
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile

# what the slow tests need besides: Ray and its 240 MB
$(VENV)/.slow: $(VENV)/.dev
	$(PIP) --editable '.[train,ray]'
	touch $@

test-slow: lint $(VENV)/.slow
	$(BIN)/pytest -m slow

# install the GPU's libraries first, which are not everywhere: docs/how-to/tensorrt.md
test-gpu: $(VENV)/.dev
	$(BIN)/pytest -m gpu

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) demo-out .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
