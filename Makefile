# env: build the environment. demo, test, lint: build it if needed, then run.
#   make env VENV=/path/to/venv PYTHON=python3.12
VENV ?= .venv
PYTHON ?=
ARGS ?=
BIN := $(VENV)/bin
LOCK_INPUT := $(addprefix requirements/,tests.txt lint.txt build.txt)

.PHONY: help env demo test lint format lock
.DEFAULT_GOAL := help

help:
	@echo 'make env     build the environment in $(VENV) (VENV=, PYTHON=)'
	@echo 'make demo    train and score on drawn scenes, on a CPU'
	@echo 'make test    run all tests (ARGS="tests/test_tools -k demo")'
	@echo 'make lint    check style; make format mends what it can'
	@echo 'make lock    resolve requirements/lock.txt again'

env:
	@VENV='$(VENV)' PYTHON='$(PYTHON)' sh tools/env.sh

demo: env
	$(BIN)/python tools/demo.py $(ARGS)

test: env
	$(BIN)/python -m pytest $(ARGS)

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: env
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

lock: env
	grep -v '^mmcv' requirements/runtime.txt | $(BIN)/uv pip compile - \
		$(LOCK_INPUT) --universal --python-version 3.10 --no-annotate \
		--no-header --output-file requirements/lock.txt
	sed -i "/python_full_version >= '3.13'/d" requirements/lock.txt
