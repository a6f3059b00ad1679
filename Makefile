# Everything installs itself into $(VENV) when first needed. Needed beforehand: make and Python 3.11.
#   make test ARGS="-k race"                      arguments for the command behind a target
#   make test PYTHON=python3.13 VENV=.venv-3.13   another interpreter, in its own environment
#   make test DJANGO="django>=6" VENV=.venv-6     another Django, in its own environment
#   make test ARGS="-n 0"                         in one process
#   make test ARGS="-m slow"                      what it leaves out because it takes long; all: "-m ''"
#   make drill ARGS="--only killed frozen"        some drills
#   make bench ARGS=--peers                       other packages beside this one, in .venv-peers
#   make compat ARGS="--only guardian --jobs 1"   one of the suites, one run at a time
#   make fuzz EXAMPLES=2000 SEED=1                as many programs, the same ones each time

PYTHON ?= python3
VENV   ?= .venv
DJANGO ?= django
ARGS   ?=
EXAMPLES ?= 20000
SECONDS ?= 600
SEED   ?= random

# Other packages that cache querysets are in no environment but one of their own.
ifneq (,$(filter --peers,$(ARGS)))
VENV := .venv-peers
endif

PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check
# Each process has servers of its own, so there is a limit to what a large machine can do with them.
PYTEST := pytest --numprocesses auto --maxprocesses 4 --dist worksteal

# The tests start hundreds of interpreters, each of which would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Two pips in one environment get in each other's way.
.NOTPARALLEL:

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(VENV)/.example ## Show stale reads and how they are prevented, on a real site
	$(PY) -m example_project.demo $(ARGS)

.PHONY: serve
serve: $(VENV)/.example ## Run the example site on this machine
	$(PY) -m example_project.serve $(ARGS)

.PHONY: test
test: $(VENV)/.example $(VENV)/.test ## Run the tests, but for the slow ones
	$(PY) -m $(PYTEST) -m "not slow" $(ARGS)

.PHONY: coverage
coverage: $(VENV)/.example $(VENV)/.test ## Run the tests and report their coverage, which takes longer
	$(PY) -m coverage erase
	$(PY) -m coverage run -m $(PYTEST) $(ARGS)
	$(PY) -m coverage combine --quiet
	$(PY) -m coverage report

.PHONY: fuzz
fuzz: $(VENV)/.example $(VENV)/.test ## Look for stale values with more random programs
	FUZZ_SEED=$(SEED) FUZZ_EXAMPLES=$(EXAMPLES) $(PY) -m $(PYTEST) tests/fuzz $(ARGS)

.PHONY: bench
bench: $(VENV)/.example $(VENV)/.test $(if $(filter --peers,$(ARGS)),$(VENV)/.peers) ## Measure the cost of reads and writes
	$(PY) -m tests.benchmarks $(ARGS)

.PHONY: drill
drill: $(VENV)/.example $(VENV)/.test ## Break the cache, the database and writers, and count the damage
	$(PY) -m tests.consistency.drills $(ARGS)

.PHONY: soak
soak: $(VENV)/.example $(VENV)/.test ## Race with values near, and with trouble, for SECONDS
	$(PY) -m tests.near --seconds $(SECONDS) $(ARGS)

.PHONY: compat
compat: $(VENV)/.example $(VENV)/.compat ## Run the tests of Django and others, without the app and with it
	$(PY) -m tests.compat $(ARGS)

.PHONY: lint
lint: $(VENV)/.lint ## Check style, formatting and the direction of imports
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(VENV)/bin/lint-imports

.PHONY: types
types: $(VENV)/.example $(VENV)/.test $(VENV)/.lint ## Check the types
	$(PY) -m mypy $(ARGS)

.PHONY: docs
docs: $(VENV)/.docs ## Build the documentation into docs/_build/html
	$(PY) -m sphinx -W -n -b html docs docs/_build/html

.PHONY: format
format: $(VENV)/.lint ## Rewrite the code in the project's style
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

.PHONY: clean
clean: ## Remove the environments and everything else that was generated
	rm -rf .venv* build dist docs/_build htmlcov .coverage* .*_cache .hypothesis var/compat
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The pip that comes with Python 3.11 does not know dependency groups.
$(VENV)/.pip:
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade "pip>=25.1"
	@touch $@

# One stamp for each dependency group of pyproject.toml.
$(VENV)/.%: pyproject.toml | $(VENV)/.pip
	$(PIP) --editable . --group $* "$(DJANGO)"
	@touch $@
