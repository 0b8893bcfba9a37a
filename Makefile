# Both first commands set everything up: make quickstart, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: quickstart test lint docs notebooks clean

quickstart: $(VENV)/.installed
	$(BIN)/python examples/plot_quickstart.py

test: $(VENV)/.installed
	SCIPY_ARRAY_API=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

lint: $(VENV)/.installed
	$(BIN)/ruff check .

# The book, docs/_build/html/index.html. Any warning fails it. GALLERY=0: without running the examples.
GALLERY := 1
docs: $(VENV)/.documented
	$(BIN)/python -m sphinx -q -W --keep-going -b html -D plot_gallery=$(GALLERY) docs docs/_build/html

# Runs the notebooks and stores their results in them.
notebooks: $(VENV)/.installed
	$(BIN)/jupyter-execute --inplace examples/*.ipynb

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV) || \
		{ echo "python3 cannot make a virtual environment: install its venv package (python3-venv)"; exit 1; }
	@echo "Installing into $(VENV), about 1.5 GB: this takes a few minutes, once."
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test,plot,datasets]"
	touch $@

$(VENV)/.documented: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info docs/_build docs/generated docs/gallery docs/evidence/records
