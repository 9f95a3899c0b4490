# make book    the pages, in _build/html               make test    every check there is
# make quick   most of them, in two to six minutes     make help    all commands
# Works with GNU make 3.81 and BSD tools, so on macOS as it comes.

.DEFAULT_GOAL := help
.PHONY: help book test quick lint format chapters chapter notebooks readings student instructor slides claims classifiers pretrained pdf serve repository lock clean
SHELL := /bin/sh
ENV := .venv
PY := $(ENV)/bin/python
PORT ?= 8000

# The first Python that will do: the user's own `python3` if it was tested, else another tested one, else a newer one.
PYTHON ?= $(shell for range in "(3, 11) <= v < (3, 14)" "(3, 11) <= v"; do \
	for python in python3 python3.13 python3.12 python3.11; do \
		if $$python -c "import sys; v = sys.version_info[:2]; sys.exit(not ($$range))" 2>/dev/null; \
		then command -v $$python; exit; fi; done; done)
WORKERS ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)

# Workers with one thread each beat threads that share a small network.
export OMP_NUM_THREADS := 1
export MKL_NUM_THREADS := 1
# No variable that a user sets, such as GAN_TUTORIAL_DATA, is read here: make would run what stands in it.

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{ printf "  make %-11s %s\n", $$1, $$2 }'

book: $(ENV)/.ready  ## build the pages, in _build/html
	@$(PY) -m tools.book

# A file runs on one worker; files start in the order of conftest.py, and not by their numbers of tests.
PYTEST := $(PY) -m pytest -q -n $(WORKERS) --dist loadscope --no-loadscope-reorder
NBVAL := --nbval-lax --nbval-current-env --nbval-cell-timeout=300

test: $(ENV)/.ready  ## lint, unit tests, every chapter, the book's own checks
	@$(PYTEST) $(NBVAL) book tests

quick: $(ENV)/.ready  ## lint, the tests that are not slow, at smoke scale the chapters that changed since they passed (a fresh clone: all)
	@$(PYTEST) $(NBVAL) --smoke --changed -m "not slow" book tests

lint: $(ENV)/.ready  ## the code's form and its types
	@$(PY) -m ruff format --check --quiet . || { echo "Run: make format"; exit 1; }
	@$(PY) -m ruff check --quiet .
	@$(PY) -m basedpyright --level error
	@$(PY) -m tools.node --check

format: $(ENV)/.ready  ## lay the code out, and sort its imports
	@$(PY) -m ruff check --quiet --fix --exit-zero . && $(PY) -m ruff format --quiet .
	@$(PY) -m tools.node --format

chapters: $(ENV)/.ready  ## run the cells and claims of all chapters
	@$(PYTEST) $(NBVAL) book

chapter: $(ENV)/.ready  ## run one chapter's cells and claims: make chapter N=03
	@test -n "$(N)" || { echo "Which chapter? For example: make chapter N=03"; exit 2; }
	@chapter=$$($(PY) -m tools.notebooks find $(N)) && $(PY) -m pytest -q $(NBVAL) "$$chapter"

notebooks: $(ENV)/.ready  ## execute chapters in place and store their outputs: all, or make notebooks N=03
	@$(PY) -m tools.notebooks run $(N)

readings: $(ENV)/.ready  ## measure how long the chapters are to read, and the way to the first digits
	@$(PY) -m tools.readings

student: $(ENV)/.ready  ## notebooks without solutions, in _build/student
	@$(PY) -m tools.student

instructor: $(ENV)/.ready  ## notebooks with solutions, and the exam's answers, in _build/instructor.zip
	@$(PY) -m tools.student --instructor

slides: $(ENV)/.ready  ## slides of the chapters' figures, in _build/slides: all, or make slides N=03
	@$(PY) -m tools.slides $(N)

claims: $(ENV)/.ready  ## rerun stale claims over seeds, data sets and sabotages; writes book/claims.json (hours)
	@$(PY) -m tools.claims $(ARGS)

classifiers: $(ENV)/.ready  ## train the digit classifiers of metrics.py anew, from data to files (two minutes)
	@$(PY) -m tools.train_classifier $(ARGS)

pretrained: $(ENV)/.ready  ## train the models that ship with the package anew (hours): make pretrained ARGS="dcgan"
	@$(PY) -m tools.train_pretrained $(ARGS)

pdf: $(ENV)/.ready  ## print the whole book into _build/book.pdf; needs Chromium or Chrome
	@$(PY) -m tools.pdf

serve: book  ## show the pages at http://localhost:8000 (PORT= for another)
	@echo "http://localhost:$(PORT) (Ctrl-C ends it)"
	@$(PY) -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

repository: $(ENV)/.ready  ## set the repository's address everywhere: make repository REPO=owner/name
	@$(PY) -m tools.set_repository $(REPO)

lock: $(ENV)/.ready  ## write requirements.txt anew, with the newest versions that fit together
	@$(PY) -m tools.lock --upgrade

clean:  ## remove the pages and the environment
	rm -rf _build $(ENV) $(ENV)-* build *.egg-info .pytest_cache .ruff_cache

# A new environment takes the place of the old one when it is complete.
.PRECIOUS: $(ENV)/.ready
$(ENV)/.ready: requirements.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer found. Install one, or name it: make PYTHON=/path/to/python"; exit 1; }
	@"$(PYTHON)" -m tools.environment $(ENV)
