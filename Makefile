# Thin names over the same commands. `make` alone lists them.
PYTHON := .venv/bin/python
# The type checker loads the settings; nothing is sealed or signed while checking.
CHECKING := SECRET_KEY=only-for-checking CONSOLE_SEAL_KEYS=only-for-checking

.DEFAULT_GOAL := help
.PHONY: help dev demo check format test lock

help: ## list these commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

dev: ## install everything, tests' packages and browser included
	python3 manage.py test --version

demo: ## run the console with its demo
	python3 manage.py up

check: ## formatting, lint, types, layers, templates, migrations
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(CHECKING) $(PYTHON) -m mypy .
	PYTHONPATH=agent .venv/bin/lint-imports
	git ls-files '*.html' | xargs .venv/bin/djade --check --target-version 5.2
	$(PYTHON) manage.py makemigrations --check --dry-run

format: ## put code and templates into shape
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .
	git ls-files '*.html' | xargs .venv/bin/djade --target-version 5.2

test: ## run every test
	python3 manage.py test

lock: ## pin requirements*.in again, with hashes and without naming any index
	for name in requirements requirements-test; do \
	  .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --no-header --no-annotate $$name.in -o $$name.lock; \
	done
