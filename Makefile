# make run      the page on http://127.0.0.1:7860   (ARGS="--port 8000" passes options on)
# make test     all tests, with what they need installed first
# make check    formatting, lints, types
# make setup    only the virtual environment
# make attack  what strangers may send, sent; about half an hour (ARGS="--part NAME --quick")
# make verify-models   real weights against known values; fetches them (ARGS="NAME ..." for some)
# make verify-exports  every curated image encoder at full size, in the phones' runtimes

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: run test check setup format evaluate attack verify-models verify-exports

run: $(VENV)/.runs
	$(BIN)/python app.py $(ARGS)

setup: $(VENV)/.tests

test: $(VENV)/.tests
	sh tests/install_browser.sh
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	rm -f ui/*.pyi
	$(BIN)/mypy

format: $(VENV)/.tests
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

evaluate: $(VENV)/.tests
	$(BIN)/python -m training.evaluate $(ARGS)

attack: $(VENV)/.tests
	$(BIN)/python scripts/attack.py $(ARGS)

verify-models: $(VENV)/.runs
	$(BIN)/python tests/verify_models.py $(ARGS)

verify-exports: $(VENV)/.tests
	$(BIN)/python tests/verify_exports.py $(ARGS)

# The stamps make a second run start at once: pip is asked only when requirements change.
$(VENV)/.runs: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/.tests: requirements.txt requirements-dev.txt requirements-export.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $(VENV)/.runs $@
