# `make demo` and `make test` set everything up by themselves; `make setup` only sets up.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup demo test faults lint schemas demo-model bench clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "fer_batch needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "setuptools<81" wheel
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation -c constraints.txt -e ".[dev,landmarks]"
	@# test oracles without what they ask for: grad-cam wants the GUI build of OpenCV, which would overwrite the headless one
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -c constraints.txt grad-cam lime quantus ttach
	touch $@

demo: $(STAMP)
	$(BIN)/fer-batch demo --output demo

test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy

# Every fault that is known, tried on purpose, and the table of docs/faults.md: an hour. Few of them are in `make test`.
TRIES ?= 3
faults: $(STAMP)
	$(BIN)/python -m pytest tests/faults -v -m "faults or not faults" --tries $(TRIES) --write-table docs/faults.md

schemas: $(STAMP)
	$(BIN)/fer-batch schemas --write schemas

demo-model: $(STAMP)
	$(BIN)/python -m fer_batch.posed.demo_model

# Many minutes; the machine should do nothing else. BENCH="--quick" is a smoke run of seconds.
bench: $(STAMP)
	$(BIN)/python benchmarks/bench.py $(BENCH)

clean:
	rm -rf $(VENV) demo build *.egg-info
