# Every target sets up what it needs. PYTHON is the Python of .venv: make PYTHON=python3.13 test
# JOBS is the number of test processes; PYTEST are further options of pytest: make pytest PYTEST='-k segments'
PYTHON ?= python3
VENV   ?= .venv
LOCK   ?= requirements/airflow-3.3.txt
JOBS   ?= 2
PYTEST ?=

SHARED  = --numprocesses=$(JOBS) --dist=loadfile --max-worker-restart=0
# A test that hangs ends after 15 minutes, as pyproject.toml says; these may take longer.
PATIENT = -o faulthandler_timeout=3600

READY = $(VENV)/.ready
RUN   = $(VENV)/bin/python

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Targets with a `## description` behind their prerequisites are listed.
.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9.-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): $(LOCK) setup.cfg pyproject.toml scripts/venv.sh
	@scripts/venv.sh $(VENV) $(LOCK) $(PYTHON)
	@touch $@

.PHONY: setup
setup: $(READY) ## make the virtual environment (.venv)

.PHONY: demo
demo: $(READY) ## run a DAG that sends a message and waits for its delivery, offline
	@$(RUN) -m scripts.demo

.PHONY: airflow
airflow: $(READY) ## Airflow's web UI and the emulator, connected, until Ctrl-C
	@$(RUN) -m scripts.playground

.PHONY: check
check: $(READY) ## lint, check types, words and the signatures of operators
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m scripts.words
	$(RUN) -m scripts.spell_operators --check
	$(RUN) -m mypy

.PHONY: format
format: $(READY) ## format the code, and fix what the linter can
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

.PHONY: pytest
pytest: $(READY)
	$(RUN) -m pytest -m "not slow" $(SHARED) --no-loadscope-reorder $(PYTEST)

.PHONY: test
test: check pytest ## check, and run the tests

# These do not depend on Airflow: they run with the newest only.
PURE = tests/api tests/contract tests/docs tests/emulator tests/runtime/bulk tests/typing

.PHONY: test-airflow-3.1
test-airflow-3.1: ## run the tests on the oldest supported Airflow, in .venv-3.1
	$(MAKE) pytest VENV=.venv-3.1 LOCK=requirements/airflow-3.1.txt PYTEST="$(addprefix --ignore=,$(PURE))" \
		PYTHON=$$(python3.11 -c 'import sys; print(sys.executable)' 2>/dev/null || echo $(PYTHON))

# These take minutes each, and have their own targets.
LONG = tests/docs tests/real_airflow_alerts tests/real_airflow_bulk tests/real_airflow_inbound

.PHONY: test-slow
test-slow: $(READY) ## run the slow tests: each kill once, waits, logs, the built wheel (8 min)
	$(RUN) -m pytest -m slow --ignore=tests/browser $(addprefix --ignore=,$(LONG)) $(SHARED)

.PHONY: test-long
test-long: $(READY) ## run the rest in real Airflows: alerts, bulk, inbound, the documentation's DAGs (15 min)
	$(RUN) -m pytest $(PATIENT) -m slow -rs $(LONG)

.PHONY: test-waiting
test-waiting: $(READY) ## wait for many, kill triggerers and stop tasks, in a real Airflow (5 min)
	$(RUN) -m pytest $(PATIENT) -m slow -s tests/real_airflow_waiting

.PHONY: docs
docs: $(READY) ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict

.PHONY: test-bulk
test-bulk: $(READY) ## send 10,000 in a real Airflow, and kill the task 5 times (5 min)
	BULK_SIZE=10000 $(RUN) -m pytest $(PATIENT) -s -n 0 tests/real_airflow_bulk

.PHONY: bench
bench: $(READY) ## run all benchmarks, and write docs/performance.md (20 min)
	@$(RUN) -m benchmarks

.PHONY: contract
contract: $(READY) ## validate the emulator against Twilio's OpenAPI description, by Prism (needs Node)
	@$(RUN) -m scripts.contract

.PHONY: test-crash
test-crash: $(READY) ## kill sends at every point, also with a wrong clock, in a real Airflow (14 min)
	CRASH_REPEATS=5 $(RUN) -m pytest $(PATIENT) -s tests/crash

.PHONY: test-browser
test-browser: $(READY) ## test the emulator's page and Airflow's web UI in a headless Chromium
	$(RUN) -m uv pip install --quiet --python $(RUN) --no-deps -r requirements/browser.txt
	$(RUN) -m pytest tests/browser -rs $(SHARED)

.PHONY: build
build: $(READY) ## build the wheel and the source archive into dist/
	$(RUN) -m build

.PHONY: lock
lock: $(READY) ## rewrite the lock files with the newest versions
	scripts/lock.sh $(RUN)

.PHONY: clean
clean: ## remove the files that other targets made
	rm -rf .venv .venv-3.1 build dist site *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .airflow
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
