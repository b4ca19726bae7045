# `make help` lists the targets.

PY := .venv/bin/python
BGTK := .venv/bin/bgtk

# One thread a process: we run processes side by side, and sums come out the same whatever the machine.
export OPENBLAS_NUM_THREADS := 1
export OMP_NUM_THREADS := 1

.DEFAULT_GOAL := help
.PHONY: help env demo run test test-all browser check coverage bench recovery docs lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1|\2/' | awk -F'|' '{printf "  make %-10s %s\n", $$1, $$2}'

env: ## .venv with the locked versions; does nothing where nothing changed
	@sh scripts/setup.sh

demo: env ## a made-up province, from raw exports to finished reports
	@$(BGTK) demo
	@echo
	@echo 'Buka di peramban / Open in a browser:'
	@ls -t reports/*/index.html */reports/*/index.html 2>/dev/null | head -n 1 | sed 's/^/    /'

run: env ## everything in workspace.yaml that is stale
	@$(BGTK) run

test: env ## the tests but the slow ones
	@$(PY) -m pytest -q -n auto --dist worksteal
	@echo
	@echo 'Each test names what it holds: tests/. The rest: make test-all, make check, make coverage.'

test-all: env ## all tests, the slow ones too
	@$(PY) -m pytest -q -m 'slow or not slow'

browser: env ## the pages in Chromium; a missing Chromium is a failure here
	@BGTK_REQUIRE_BROWSER=1 $(PY) -m pytest -q -m browser

check: env ## form, types, the rooms' order, the notebooks
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(PY) -m pytest -q tests/test_house.py

coverage: env ## do the intervals hold the planted truth: points, the scale, programmes (hours; goes on where it was stopped)
	@$(PY) bench/coverage.py
	@$(PY) bench/headline.py
	@$(PY) bench/programme.py

bench: env ## ours beside peers in one run; PEERS=PYTHON names one that has them (mirt, girth; pyfixest, wildboottest), R=--r adds R; UNTWEAKED=DIR: bench/engine.py
	@$(PY) bench/irt.py $(if $(PEERS),--peers $(PEERS)) $(R)
	@$(PY) bench/change.py $(if $(PEERS),--peers $(PEERS)) $(R)
	@$(PY) bench/engine.py $(if $(UNTWEAKED),--untweaked $(UNTWEAKED))
	@$(PY) bench/memory.py

recovery: env ## bias and coverage of response models, drift and plausible values; goes on where it was stopped
	@$(PY) bench/recovery_irt.py --replications 1000
	@$(PY) bench/drift.py --replications 1000
	@$(PY) bench/plausible.py

docs: env ## docs/codebook.md from bgtk_lib/reference/
	@$(PY) scripts/codebook.py

lock: ## requirements.lock.txt after a change of pyproject.toml (needs uv); UPGRADE=--upgrade takes newer versions
	@uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-annotate $(UPGRADE) \
		--custom-compile-command 'make lock' pyproject.toml --output-file requirements.lock.txt

clean: ## the environment and the tools' caches; never data/ or reports/
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
