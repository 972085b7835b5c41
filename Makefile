# Everything runs in the environment VENV, which the first call builds:
#   make test VENV=/path/to/venv PYTHON=python3.12
VENV ?= .venv
PYTHON ?=
ARGS ?=
BIN := $(VENV)/bin
RANGES := $(addprefix requirements/,runtime.txt lite.txt painter.txt export.txt tests.txt lint.txt build.txt)

.PHONY: help env demo paint test lint format lock
.DEFAULT_GOAL := help
.ONESHELL:
.SHELLFLAGS := -ec

help:
	@echo 'make env     build the environment in $(VENV) (VENV=, PYTHON=)'
	echo 'make demo    draw scenes and train on them, in 15 minutes on a CPU'
	echo 'make paint   paint a label map in the browser (ARGS="--port 8001")'
	echo 'make test    run all tests (ARGS="tests/test_tools -k painter")'
	echo 'make lint    check style; make format fixes what it can'
	echo 'make lock    resolve requirements/lock.txt anew'

env:
	@fail() { echo "error: $$*" >&2; exit 1; }
	if [ ! -x $(BIN)/uv ]; then
	    for python in $(or $(PYTHON),python3.11 python3.12 python3.10 python3) ''; do
	        $$python -c 'import sys; 1 / ((3, 10) <= sys.version_info < (3, 13))' 2>/dev/null && break
	    done
	    [ "$$python" ] || fail "Python 3.10, 3.11 or 3.12 is needed, and" \
	        "$(if $(PYTHON),PYTHON=$(PYTHON) is none of them,none of them is on PATH);" \
	        "install one (Debian, Ubuntu: apt-get install python3 python3-venv)" \
	        "or name one: make env PYTHON=/path/to/python3.11"
	    $$python -m venv $(VENV)
	    $(BIN)/python -m pip install -q -c requirements/lock.txt uv
	fi
	[ "$$($(or $(PYTHON),$(BIN)/python) -V)" = "$$($(BIN)/python -V)" ] ||
	    fail "the Python of $(VENV) is not that of PYTHON=$(PYTHON);" \
	        "remove it (rm -r $(VENV)) or choose another place with VENV="
	install="$(BIN)/uv pip install --python $(BIN)/python --no-deps -r requirements/lock.txt -r -"
	echo '-e .' | $$install -q --offline 2>/dev/null && exit
	# uv does not read pip's settings
	index=$$($(BIN)/python -m pip config get global.index-url 2>/dev/null || :)
	export UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$${UV_INDEX_URL:-$${PIP_INDEX_URL:-$$index}}}"
	echo '-e .' | $$install

demo: env
	$(BIN)/python tools/make_toyscenes.py
	$(BIN)/python tools/fit.py data/toyscenes --minutes 15 --work-dir work_dirs/demo $(ARGS)

paint: env
	$(BIN)/python tools/painter.py $(ARGS)

test: env
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: env
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

lock: env
	$(BIN)/uv pip compile $(RANGES) --universal --python-version 3.10 \
		--no-annotate --no-header --output-file requirements/lock.txt
	# drop lines for Pythons and systems we do not support
	sed -i "/>= '3.13'$$/d; /== 'never'$$/d; /== 'win32'$$/d" requirements/lock.txt
