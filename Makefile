# Both first commands set everything up: make quickstart, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: quickstart test lint notebooks clean

quickstart: $(VENV)/.installed
	$(BIN)/python examples/plot_quickstart.py

test: $(VENV)/.installed
	SCIPY_ARRAY_API=1 $(BIN)/python -m pytest -n 2

lint: $(VENV)/.installed
	$(BIN)/ruff check .

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

clean:
	rm -rf $(VENV) build *.egg-info
