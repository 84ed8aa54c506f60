# Every target builds the environment it needs and works in a tree without .git.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile

.PHONY: demo test check bench docs clean

demo: $(VENV)/runtime
	$(BIN)/posgate demo $(DEMO)

test: $(VENV)/development
	bash tests/provide.sh
	$(BIN)/python -m pytest -n auto --dist worksteal $(TESTS)

check: $(VENV)/development
	$(BIN)/ruff format --check .
	$(BIN)/ruff check --output-format concise .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# The benchmarks: make bench, or make bench ONLY=card_sale,mixed
bench: $(VENV)/development
	$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY))

# Documents that are made from tables in the code; a test holds them up to date.
docs: $(VENV)/development
	$(BIN)/python docs/generate.py

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Posgate needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/runtime: setup.py $(VENV)/bin/python
	$(PIP) -e .
	touch $@

$(VENV)/development: setup.py $(VENV)/bin/python
	$(PIP) -e '.[dev]'
	touch $(VENV)/runtime $@

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .hypothesis bench.json
