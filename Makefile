# make book    the pages, in _build/html          make test    every check there is
# Works with GNU make 3.81 and BSD tools, so on macOS as it comes.

.DEFAULT_GOAL := help
.PHONY: help book test lint chapters chapter notebooks claims classifiers gallery serve home lock clean
SHELL := /bin/sh
ENV := .venv
PY := $(ENV)/bin/python
WORKERS ?= 2
PORT ?= 8000

# The first Python that will do: the user's own `python3` if it was tested, else another tested one, else a newer one.
PYTHON ?= $(shell for range in "(3, 11) <= v < (3, 14)" "(3, 11) <= v"; do \
	for python in python3 python3.13 python3.12 python3.11; do \
		if $$python -c "import sys; v = sys.version_info[:2]; sys.exit(not ($$range))" 2>/dev/null; \
		then command -v $$python; exit; fi; done; done)

# Kernels start in the notebook's folder, where a relative path would point elsewhere.
ifneq ($(strip $(GAN_TUTORIAL_DATA)),)
export GAN_TUTORIAL_DATA := $(shell case "$(GAN_TUTORIAL_DATA)" in (/*|"~"*) echo "$(GAN_TUTORIAL_DATA)";; \
	(*) echo "$$PWD/$(GAN_TUTORIAL_DATA)";; esac)
endif
# Two workers with one thread each beat two threads that share a small network.
export OMP_NUM_THREADS := 1
export MKL_NUM_THREADS := 1

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{ printf "  make %-11s %s\n", $$1, $$2 }'

book: $(ENV)/.ready  ## build the pages, in _build/html
	@$(PY) tools/book.py

test: $(ENV)/.ready  ## lint, unit tests, every chapter, the book's own checks
	@$(PY) -m pytest -q -n $(WORKERS) --dist loadscope $(NBVAL) book tests

NBVAL := --nbval-lax --nbval-current-env --nbval-cell-timeout=300

lint: $(ENV)/.ready  ## what make test asks of the code's form, alone
	@$(PY) -m ruff check .

chapters: $(ENV)/.ready  ## run the cells and claims of all chapters
	@$(PY) -m pytest -q -n $(WORKERS) --dist loadscope $(NBVAL) book

chapter: $(ENV)/.ready  ## run one chapter's cells and claims: make chapter N=03
	@test -n "$(N)" || { echo "Which chapter? For example: make chapter N=03"; exit 2; }
	@chapter=$$($(PY) tools/notebooks.py find $(N)) && $(PY) -m pytest -q $(NBVAL) "$$chapter"

notebooks: $(ENV)/.ready  ## execute chapters in place and store their outputs: all, or make notebooks N=03
	@$(PY) tools/notebooks.py run $(N)

claims: $(ENV)/.ready  ## rerun stale claims over seeds, data sets and sabotages; writes book/claims.json (hours)
	@$(PY) tools/claims.py $(ARGS)

classifiers: $(ENV)/.ready  ## train the digit classifiers of metrics.py anew, from data to files (two minutes)
	@$(PY) tools/train_classifier.py

gallery: $(ENV)/.ready  ## train the models that ship with the package anew (hours): make gallery ARGS="dcgan"
	@$(PY) tools/gallery.py $(ARGS)

serve: book  ## show the pages at http://localhost:8000 (PORT= for another)
	@echo "http://localhost:$(PORT) (Ctrl-C ends it)"
	@$(PY) -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

home: $(ENV)/.ready  ## set the repository's address everywhere: make home REPO=owner/name
	@$(PY) tools/home.py $(REPO)

lock: $(ENV)/.ready  ## write requirements.txt anew, with the newest versions that fit together
	@$(PY) tools/lock.py "$(PYTHON)"

clean:  ## remove the pages and the environment
	rm -rf _build $(ENV) build *.egg-info .pytest_cache .ruff_cache

# The environment is made afresh when requirements.txt changes; the package is linked into it, not copied.
$(ENV)/.installed: requirements.txt
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer found. Install one, or name it: make PYTHON=/path/to/python"; exit 1; }
	@echo "Making $(ENV) with $(PYTHON): a few minutes, once."
	@"$(PYTHON)" -m venv --clear $(ENV) || { rm -rf $(ENV); \
		echo "This Python cannot make environments; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@$(PY) -m pip install -qq --disable-pip-version-check -r requirements.txt
	@touch $@

$(ENV)/.ready: $(ENV)/.installed pyproject.toml
	@$(PY) -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
