# Everything runs from .venv, which is made once and filled again only when a file of requirements changes.
# PYTHON=/path/to/python chooses the interpreter that makes it; ARGS="-k replay" goes to pytest.

.DEFAULT_GOAL := help
.PHONY: help demo test check lint bench dist mutation docs format clean stale

PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check install --quiet --no-input
SOURCES := $(wildcard lychgate sp idp shared lab run_sp.py run_idp.py tests tools bench examples)
# Three workers for two cores, since tests wait for servers and browsers; an idle one takes waiting tests over.
WORKERS := -n 3 --dist worksteal
# Modules in the test's own process, and what the source and the documents say of themselves.
QUICK := tests/test_arrows.py tests/test_shape.py tests/test_language.py tests/test_docs.py tests/docs/test_language.py \
	tests/sp/accounts tests/sp/providers tests/sp/sessions tests/sp/views tests/sp/test_redirects.py \
	tests/sp/diagnosis/test_inspector.py tests/sp/signin/test_verification.py tests/sp/signin/test_binding.py \
	tests/sp/signin/test_pending.py tests/shared --ignore tests/shared/test_worker.py --ignore tests/shared/test_schema.py \
	--ignore tests/shared/test_extras.py --ignore tests/shared/test_linear_patterns.py \
	tests/lychgate tests/lab/test_token.py tests/lab/test_faults.py tests/lab/test_keys.py \
	idp/tests/test_services_file.py idp/tests/test_settings.py idp/tests/test_commands.py
# An environment whose interpreter has gone, or was upgraded away, counts as not installed.
STALE := $(shell $(PY) -c "" 2>/dev/null || echo stale)

help: ## list these targets
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1	\2/p' Makefile

demo: .venv/.runtime-installed ## start both programs with demo users, and print the address to open; OPEN=1 opens the browser
	@$(PY) -m tools.demo

test: .venv/.dev-installed ## run the whole suite: unit tests, attacks, real servers, a real browser
	@tools/system-packages
	@tools/node-packages
	env -u PYTHONDONTWRITEBYTECODE $(PY) -m pytest $(WORKERS) $(ARGS)

check: .venv/.dev-installed ## run the lint rules and the quick tests, which start no program; about a minute
	$(PY) -m ruff check $(SOURCES)
	env -u PYTHONDONTWRITEBYTECODE $(PY) -m pytest $(WORKERS) -q $(QUICK) $(ARGS)

lint: .venv/.dev-installed ## check formatting, lint rules and types
	$(PY) -m ruff format --check $(SOURCES)
	$(PY) -m ruff check $(SOURCES)
	$(PY) -m mypy $(SOURCES)

bench: .venv/.dev-installed ## run the benchmarks, side by side with named peers, as ratios
	@tools/system-packages
	@tools/bench-packages
	$(PY) -m bench $(ARGS)

dist: .venv/.dev-installed ## build the wheel, the sdist and lychgate.pyz into dist/
	$(PY) -m tools.dist

mutation: .venv/.mutation-installed ## change the heart in small ways and see whether a test notices; takes five minutes
	PYTHONPATH=$(CURDIR)/.venv/mutation $(PY) -m tools.mutation

docs: .venv/.docs-installed ## build the documents as a site in build/site, which works without a network
	$(PY) -m tools.reference
	PYTHONPATH=$(CURDIR)/.venv/docs $(PY) -m tools.docs_site

format: .venv/.dev-installed ## rewrite the source in the common format
	$(PY) -m ruff format $(SOURCES)
	$(PY) -m ruff check --fix $(SOURCES)

clean: ## remove the environment and caches, never the state in instance/
	rm -rf .venv dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .cache build/docs build/site
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.runtime-installed: requirements.txt $(STALE)
	@tools/make-environment
	@echo "Installing the pinned requirements into .venv (only the first time, and when they change) ..."
	@$(PIP) -r requirements.txt
	@touch $@

.venv/.dev-installed: requirements-dev.txt .venv/.runtime-installed
	@echo "Installing what the tests and the linters need into .venv ..."
	@$(PIP) -r requirements-dev.txt
	@touch $@

.venv/.docs-installed: requirements-docs.txt .venv/.runtime-installed
	@echo "Installing what the documents need into .venv/docs ..."
	@$(PIP) --no-deps --upgrade --target .venv/docs -r requirements-docs.txt
	@touch $@

.venv/.mutation-installed: requirements-mutation.txt .venv/.dev-installed
	@echo "Installing what the mutation run needs into .venv/mutation ..."
	@$(PIP) --no-deps --upgrade --target .venv/mutation -r requirements-mutation.txt
	@touch $@

stale:
