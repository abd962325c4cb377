# Two commands: `make book` builds the pages, `make test` checks everything. Each first makes .venv, if it is missing or out of date.
#
#   make test TESTS=tests/test_book.py NOTEBOOKS=book/03_dot_product.ipynb    a part of the tests
#   make test WORKERS=4                 in four processes, not in two
#   make notebooks                      run the notebooks whose text changed, and renew the learner notebooks
#   make notebooks NAME=03_dot_product  run one of them;  ALL=1 runs them all
#   make pdf                            the whole book as one PDF, which needs Chromium
#   make book PYTHON=python3.12         with another Python (3.11 or newer) than `python3`

PYTHON ?= python3
PORT ?= 8000
WORKERS ?= 2
TESTS := tests
NOTEBOOKS := book/*.ipynb
NAME :=
ALL :=

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check
READY := $(VENV)/.ready

# One recipe at a time, whatever -j says. The tools are called as `.venv/bin/python -m tool`, so that a virtual environment that happens to be
# active does not matter; what people set for pip, Python, IPython and Matplotlib elsewhere is kept out for the same reason.
.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help book pdf test notebooks bench course slides serve clean
unexport VIRTUAL_ENV PYTHONHOME PYTHONPATH PIP_TARGET PIP_PREFIX PIP_ROOT PIP_NO_BUILD_ISOLATION JUPYTER_PATH
export PIP_USER := 0
export PIP_NO_INPUT := 1
export IPYTHONDIR := $(CURDIR)/$(VENV)/ipython
export MPLCONFIGDIR := $(CURDIR)/$(VENV)/matplotlib
# Threads that wait sleep: on a machine that does other things as well, spinning ones keep each other from working.
export OMP_WAIT_POLICY := PASSIVE

help:
	@sed -n '/^$$/q; s/^# \{0,1\}//p' Makefile

OLD_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))'

$(READY): requirements.txt requirements-torch.txt pyproject.toml
	@$(PYTHON) $(OLD_ENOUGH) || { echo "Python 3.11 or newer is needed, and '$(PYTHON)' is not: name one with PYTHON=..." >&2; exit 1; }
	@$(PY) $(OLD_ENOUGH) 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@echo "Installing into $(VENV) (the first time: some minutes)"
	@$(PIP) --no-deps --require-hashes -r requirements.txt
	@$(PIP) -r requirements-torch.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

# Sphinx does not renew the side bar of pages that did not change, copies no style sheet if no page changed, and forgets a page's warnings once
# it has read it. So the pages are made anew when the frame changed, and after a failure.
_build/.frame: _config.yml _toc.yml tools/access.py tools/addresses.py tools/api_page.py tools/folded.py tools/laboratory.py tools/learner_links.py tools/lists.py tools/page_weight.py \
  tools/playgrounds.py tools/practice.py tools/text_index.py tools/unused_scripts.py book/references.bib \
  $(wildcard book/_static/* book/_static/*/* book/_templates/*) $(READY)
	@rm -rf _build/html _build/.doctrees
	@mkdir -p _build && touch $@

book: $(READY) _build/.frame
	@$(PY) $(VENV)/bin/jupyter-book build . -W -n --keep-going || { rm -rf _build/.doctrees; exit 1; }

# The whole book as one file, _build/print/attention_looked_at.pdf; Chromium prints it (apt-get install chromium fonts-wqy-microhei;
# the second is for the Chinese quotations).
pdf: book
	@$(PY) -m tools.print_book

# Tests and notebooks run in $(WORKERS) processes, each with one thread, so that they do not wait for each other.
test: export OMP_NUM_THREADS := 1
test: $(READY)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m codespell_lib
	$(PY) -m pytest -n $(WORKERS) --dist worksteal $(TESTS)
	$(PY) -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder --jaxtyping-packages= --nbval --nbval-current-env \
	  -p tools.authoring.nbval_plugin $(NOTEBOOKS)

notebooks: $(READY)
	@$(PY) -m tools.authoring.notebooks $(NAME) $(if $(ALL),--all)
	@$(PY) -m tools.authoring.learner

bench: $(READY)
	@test -f benchmarks/run.py || { echo "benchmarks/run.py is missing: there is nothing to measure yet" >&2; exit 1; }
	$(PY) -m benchmarks.run

course: $(READY)
	@test -f course/build.py || { echo "course/build.py is missing: there are no assignments to build yet" >&2; exit 1; }
	$(PY) course/build.py

# Three lectures, in _build/slides: each to project, and with the speaker's notes.
slides: $(READY)
	@$(PY) -m tools.authoring.slides $(NAME)

serve: book
	$(PY) -m http.server --directory _build/html $(PORT)

clean:
	rm -rf _build .pytest_cache .mypy_cache .ruff_cache .hypothesis
