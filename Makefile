# Every target builds the environment it needs and works in a tree without .git.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile

# Tests and proofs start a gateway a thousand times: it is compiled once, whatever the shell says.
unexport PYTHONDONTWRITEBYTECODE

# One more than there are cores: a quarter of the tests' time is waiting for servers and clocks.
TESTERS ?= $(shell echo $$(($$(nproc 2>/dev/null || echo 2) + 1)))

.PHONY: demo test check bench simulate mutants crash docs clean fuzz great-day

demo: $(VENV)/runtime
	$(BIN)/posgate demo $(DEMO)

test: $(VENV)/development
	bash tests/provide.sh
	$(BIN)/python -m pytest -n $(TESTERS) --dist worksteal $(TESTS)

check: $(VENV)/development
	$(BIN)/ruff format --check .
	$(BIN)/ruff check --output-format concise .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# The benchmarks: make bench, or make bench ONLY=card_sale,mixed
bench: $(VENV)/development
	$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY))

# The deterministic simulation: make simulate SEEDS=1000 [FIRST=0], or SEED=n replays one exactly.
simulate: $(VENV)/development
	$(BIN)/python -m tests.simulation.run $(if $(SEED),--seed $(SEED) --lines $(or $(TAIL),0),--seeds $(or $(SEEDS),100) --first $(or $(FIRST),0))

# Bugs planted into a copy of the code, one at a time: the simulation must catch each.
mutants: $(VENV)/development
	$(BIN)/python -m tests.simulation.mutants $(if $(ONLY),--only $(ONLY))

# kill -9 of gateways, databases and Redis under load, then everything compared; crash.json.
crash: $(VENV)/development
	bash tests/provide.sh
	$(BIN)/python -m tests.crash --kills $(or $(KILLS),500) --database-kills $(or $(DBKILLS),50) --redis-rounds $(or $(REDISROUNDS),10) $(if $(SEED),--seed $(SEED))

# The fuzzer over codec, tag lists, fields, session, describe and server: make fuzz INPUTS=20000000,
# the same inputs again with SEED=n.
fuzz: $(VENV)/development
	$(BIN)/python -m tests.fuzz --inputs $(or $(INPUTS),20000000) $(if $(SEED),--seed $(SEED))

# A hundred thousand payments over every channel, every kind of difference planted, all to be found:
# make great-day [STORE=postgres].
great-day: $(VENV)/development
	$(BIN)/python -m tests.greatday --payments $(or $(PAYMENTS),120000) --each $(or $(EACH),1000) --store $(or $(STORE),sqlite)

# Documents that are made from tables in the code; a test holds them up to date.
docs: $(VENV)/development
	$(BIN)/python -m docs.generate

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
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .hypothesis bench.json crash.json
