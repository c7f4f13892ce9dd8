# make run   set up and open napari with a segmented sample (without a display: on the command line)
# make test  set up and run the whole test suite, headless
PYTHON ?= python3
VENV := .venv
# tests run in so many processes
PROCESSES ?= 2
PARALLEL := -n $(PROCESSES) --dist loadfile
BIN := $(VENV)/bin

.PHONY: run test test-pyside test-gpu lint screenshots clean system-packages

run: $(VENV)/.run
	@if [ "$$(uname -s)" = Linux ] && [ -z "$$DISPLAY$$WAYLAND_DISPLAY" ]; then \
	    echo "No display: segmenting the sample on the command line instead."; \
	    $(BIN)/nucleiseg demo --out nucleiseg-output; \
	else $(BIN)/python -m napari_nucleiseg.gui; fi

test: $(VENV)/.dev system-packages
	$(BIN)/python -m pytest --ignore tests/gui $(PARALLEL) $(PYTEST_ARGS)
	QT_API=pyqt6 PYTEST_QT_API=pyqt6 $(BIN)/python -m pytest tests/gui $(PARALLEL) $(PYTEST_ARGS)

test-pyside: $(VENV)/.dev system-packages
	QT_API=pyside6 PYTEST_QT_API=pyside6 $(BIN)/python -m pytest tests/gui $(PARALLEL) $(PYTEST_ARGS)

test-gpu: $(VENV)/.dev
	$(BIN)/python -m pytest -m gpu $(PYTEST_ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/npe2 validate --imports napari-nucleiseg

screenshots: $(VENV)/.dev system-packages
	xvfb-run -a -s "-screen 0 1366x768x24" $(BIN)/python docs/screenshots.py

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e ".[all]"
	touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e ".[dev]"
	touch $@ $(VENV)/.run

system-packages:
	@sh .ci/system-packages

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
