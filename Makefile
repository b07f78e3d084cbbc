# docformer: `make demo` and `make test` set everything up by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
OUT ?= out/demo
PDFS ?=

.PHONY: setup demo test test-slow lint check bench docs clean help
.DEFAULT_GOAL := help

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY)  ## create .venv with the pinned packages

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "docformer needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing pinned packages (about 6.5 GB on disk, once)"
	@bash scripts/install.sh $(BIN)
	@touch $@

demo: setup  ## the whole journey in miniature; PDFS=folder runs it on your own documents
	$(BIN)/docformer demo --out $(OUT) $(if $(PDFS),--pdfs "$(PDFS)")

test: setup  ## all tests but the slow ones
	$(BIN)/python -m pytest -m "not slow"

test-slow: setup  ## the slow tests too
	$(BIN)/python -m pytest

lint: setup  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint test  ## what a change must pass

bench: setup  ## every benchmark under tests/benchmarks, one after another
	@set -e; for file in tests/benchmarks/[a-z]*.py; do echo "== $$file"; $(BIN)/python $$file; done

docs: setup  ## write docs/reference anew from the code
	$(BIN)/python scripts/reference.py

clean:  ## remove the environment and everything generated
	rm -rf $(VENV) out .pytest_cache .ruff_cache .mypy_cache .hypothesis *.egg-info
