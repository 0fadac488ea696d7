# `make demo` and `make test` do everything from a fresh clone: environment, installation, run.

VERSION := $(shell cut -d. -f1,2 .python-version)
# the named version if it is on the PATH, else pyenv's, else any python3 (which is then checked)
PYTHON  ?= $(or $(shell command -v python$(VERSION) 2>/dev/null), \
                $(lastword $(sort $(wildcard $(HOME)/.pyenv/versions/$(VERSION).*/bin/python))), python3)
BIN     := .venv/bin
READY   := .venv/.ready
# what `make bench` shows of the samples that an interval needs, once it was computed
NEEDED  := experiments/few_passes/results.csv

.PHONY: demo test check format bench docs clean

demo: $(READY)
	$(BIN)/driftproof demo

# one process per core, each with one thread: more threads than cores would wait for each other
test: check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)
	$(BIN)/python -m driftproof.bench --out experiments/speed $(if $(wildcard $(NEEDED)),--needed $(NEEDED))
	$(BIN)/python experiments/training_speed/run.py

docs: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	PYTHONPATH=docs $(BIN)/python -m site_pages build/docs
	PYTHONPATH=docs NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "documentation: build/site/index.html"

$(READY): pyproject.toml constraints.txt .python-version
	@$(PYTHON) -c 'import sys; v = "%d.%d" % sys.version_info[:2]; v == "$(VERSION)" or sys.exit("Python " + v + " found, $(VERSION) wanted: make PYTHON=/path/to/python$(VERSION)")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

clean:
	rm -rf .venv build .pytest_cache .mypy_cache .ruff_cache dist
