# Chitram's commands. `make` alone lists those that carry a description.
#
# Everything lives in .venv, made from a bare python3. What is installed is decided by the hash-pinned files in requirements/
# and by nothing else, so settings of the caller's shell that would add packages or another environment are taken away.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv pip
# Nothing unpinned is downloaded, build tools included: the few packages without a wheel are built with what bootstrap.txt brings.
# For pyvips that leaves out its optional compiler step, so that it binds to the libvips of the pyvips-binary wheel and never to one
# that happens to lie on the machine.
INTO := --python $(BIN)/python --no-build-isolation
COMPILE := $(UV) compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header $(UPGRADE)
COVERAGE_FLOOR := 85
# Passed on by the caller: `make bench ARGS=--list`, `make test-fast ARGS="-k ranges"`, `make lock UPGRADE=--upgrade`.
ARGS ?=
UPGRADE ?=

unexport PKG_CONFIG_PATH PIP_FIND_LINKS PIP_NO_INDEX PIP_REQUIRE_VIRTUALENV PIP_TARGET PIP_USER UV_FIND_LINKS UV_NO_INDEX VIRTUAL_ENV PYTHONHOME PYTHONPATH PYTHONDONTWRITEBYTECODE
# uv warns when its cache and the checkout lie on different disks; copying works everywhere.
export UV_LINK_MODE ?= copy
# A certificate authority that the machine trusts is good enough for downloads, as it is for pip: each file's hash is checked.
export UV_SYSTEM_CERTS ?= 1
export PKG_CONFIG_LIBDIR := /nonexistent

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# ---------------------------------------------------------------------------------------------------- environment

$(VENV)/.bootstrap: requirements/bootstrap.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Chitram needs Python 3.11 or newer; $(PYTHON) is not. Name another one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "$(PYTHON) has no venv module. On Debian: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@touch $@

$(VENV)/.run: $(VENV)/.bootstrap requirements/run.txt pyproject.toml
	$(UV) install --quiet $(INTO) --require-hashes -r requirements/run.txt
	$(UV) install --quiet $(INTO) --no-deps --editable .
	@touch $@

# The development lock holds the same pins as the one for running, so this environment can serve too.
$(VENV)/.dev: $(VENV)/.bootstrap requirements/dev.txt requirements/run.txt pyproject.toml
	$(UV) sync --quiet $(INTO) --require-hashes requirements/bootstrap.txt requirements/dev.txt
	$(UV) install --quiet $(INTO) --no-deps --editable .
	@touch $(VENV)/.run $@

.PHONY: setup
setup: $(VENV)/.run ## Make .venv with what the server needs

.PHONY: setup-dev
setup-dev: $(VENV)/.dev ## Make .venv with the development tools too

.PHONY: packages
packages: $(VENV)/.bootstrap ## Install the Debian packages that the tests need (as root), or say which are missing
	$(BIN)/python tests/services/packages.py

# ---------------------------------------------------------------------------------------------------- the program

.PHONY: run
run: $(VENV)/.run ## Set everything up and serve on http://localhost:8000
	@exec $(BIN)/chitram serve $(ARGS)

# ---------------------------------------------------------------------------------------------------- checks

.PHONY: lint
lint: $(VENV)/.dev ## Style, types, import contracts and declared dependencies
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry src
	$(BIN)/deptry tests benchmarks --exclude '\.venv' --ignore DEP002,DEP004

.PHONY: format
format: $(VENV)/.dev ## Rewrite the sources in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Coverage of the whole is judged inside pytest, so that the run still ends with pytest's own closing line.
.PHONY: test
test: packages lint ## Every check, and every test but the soak; coverage is part of it
	$(BIN)/python -m pytest -q -n 3 --dist loadgroup -m "not soak" --cov --cov-report=term --cov-fail-under=$(COVERAGE_FLOOR) $(ARGS)
	@$(BIN)/coverage report --include='src/chitram/domain/*,src/chitram/services/*' --fail-under=100 > $(VENV)/.inner-coverage \
		|| { echo "Domain and services must be covered to the last branch:"; cat $(VENV)/.inner-coverage; exit 1; } >&2

.PHONY: test-fast
test-fast: $(VENV)/.dev ## The quick tests alone, in parallel: the inner loop
	$(BIN)/python -m pytest -q -n 2 -m "not slow and not soak and not integration" $(ARGS)

.PHONY: soak
soak: export CHITRAM_SOAK := 1
soak: packages $(VENV)/.dev ## The slow proofs at full count, and power cuts; writes docs/explanation/proofs.md
	$(BIN)/python -m pytest -m "soak or slow" --timeout=14400 --proofs=docs/explanation/proofs.md $(if $(ARGS),--proofs-keep) $(ARGS)

.PHONY: bench
bench: $(VENV)/.dev ## Measure; ARGS=--list names the cases, ARGS=NAME runs one
	$(BIN)/python -m benchmarks $(ARGS)

# ---------------------------------------------------------------------------------------------------- upkeep

.PHONY: docs
docs: $(VENV)/.dev ## Rewrite the generated reference pages
	$(BIN)/python -m tests.docs.generate

.PHONY: css
css: $(VENV)/.dev ## Build the style sheet of the pages from its source
	$(BIN)/tailwindcss -i src/chitram/entrypoints/web/styles/app.css -o src/chitram/entrypoints/web/static/app.css --minify

.PHONY: screenshots
screenshots: packages $(VENV)/.dev ## Take the README's pictures of the pages anew
	$(BIN)/python -m tests.browser.screenshots $(ARGS)

.PHONY: lock
lock: $(VENV)/.bootstrap ## Make the lock files anew from pyproject.toml; UPGRADE=--upgrade takes newer versions
	printf 'editables\nhatchling\nsetuptools\nuv\n' | $(COMPILE) --output-file requirements/bootstrap.txt -
	$(COMPILE) --output-file requirements/run.txt pyproject.toml
	$(COMPILE) --group dev --constraints requirements/run.txt --output-file requirements/dev.txt pyproject.toml

.PHONY: clean
clean: ## Remove the environment and every cache; data is left alone
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.* htmlcov dist build
