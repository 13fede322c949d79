# `make help` is the contents page; everything else needs only Python 3.11 or newer.

.DEFAULT_GOAL := help
.PHONY: help run up test check bench faults servers dbt dictionary clean
SHELL := /bin/sh
PY := .venv/bin/python

help: ## This page
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

run: .venv/.ready ## Servers, a made-up RetailCRM, a full load, questions in SQL: on this machine alone
	$(PY) -m celery -A sync mirror demo

up: .venv/.ready ## The same, and stay up with the status page, until Ctrl-C
	$(PY) -m celery -A sync mirror demo --stay

test: .venv/.ready ## All tests, several at once (ARGS='tests/unit -k settings' for some)
	$(PY) -m pytest -n auto $(ARGS)

check: .venv/.ready ## What CI checks besides the tests: format, lint, layers, types, migrations
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	.venv/bin/lint-imports
	$(PY) -m mypy
	$(PY) -m sync.database.migrate check
	$(PY) -m sync.docs check

bench: .venv/.ready ## One table: figures, targets, dlt beside them (ARGS=dispatch for one)
	$(PY) tests/bench/bench.py $(ARGS)

faults: .venv/.ready ## The fault suite at its full depth, and its table
	$(PY) -m pytest -m faults -n auto tests/integration $(ARGS)

servers: .venv/.ready ## The suites that depend on the server, on Postgres 15 to 18 and behind pgbouncer, and a table
	$(PY) tests/servers.py $(SERVERS)

dbt: .venv/.ready .dbt/.ready ## ops/dbt built on a sandbox account (dbt gets an environment of its own)
	MIRROR_DBT=$(CURDIR)/.dbt/bin/dbt $(PY) -m pytest -n 0 tests/integration/analysts/test_dbt.py $(ARGS)

.dbt/.ready: ops/dbt/requirements.txt
	$(PY) -m venv --clear .dbt
	.dbt/bin/python -m pip install --quiet --disable-pip-version-check --only-binary :all: \
		-r ops/dbt/requirements.txt
	touch $@

dictionary: .venv/.ready ## ops/docs/dictionary made anew from the database's own comments
	$(PY) -m sync.analysts.dictionary write

clean: ## Remove the environment and every cache; the data in .data stays
	rm -rf .venv .dbt build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache .coverage
	find sync tests migrations -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment, exactly as pinned; made anew when what it is made from changes.
# New pins: install without -c in an empty environment, then `pip freeze --exclude-editable`; keep
# async-timeout, which only Python 3.11.0 to 3.11.2 needs. Then the image's, by hash, with pip-tools:
#   pip-compile --generate-hashes --no-emit-index-url --no-emit-options --no-header --no-annotate \
#     --allow-unsafe --strip-extras -c ops/constraints.txt --extra web --extra export --extra otel \
#     -o ops/requirements/service.txt pyproject.toml         (sandbox.txt: --extra sandbox alone)
.venv/.ready: pyproject.toml ops/constraints.txt
	@python= old=; \
	for name in python3 python3.13 python3.12 python3.11 python3.14; do \
		$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		old=$$name; \
		$$name -c 'import ensurepip, venv' 2>/dev/null || continue; \
		python=$$name; break; \
	done; \
	if [ -z "$$old" ]; then \
		echo "Python 3.11 or newer is needed and none is on the PATH." >&2; \
		echo "Install one, e.g. on Debian or Ubuntu: apt install python3 python3-venv" >&2; \
		exit 1; \
	fi; \
	if [ -z "$$python" ]; then \
		echo "$$old cannot make virtual environments: its modules venv and ensurepip are missing." >&2; \
		echo "Install them, e.g. on Debian or Ubuntu: apt install python3-venv" >&2; \
		exit 1; \
	fi; \
	if ! $(PY) -m pip --version >/dev/null 2>&1; then \
		echo "Making .venv with $$($$python --version)"; \
		$$python -m venv --clear .venv || exit 1; \
	fi; \
	echo "Installing the pinned packages into .venv (a minute or two the first time):"; \
	$(PY) -m pip install --disable-pip-version-check --root-user-action=ignore --use-pep517 \
		-c ops/constraints.txt -e '.[embedded,sandbox,web,dev]' || exit 1; \
	touch $@; \
	echo "Ready."
