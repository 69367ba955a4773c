# Two commands set everything up on a fresh machine: `make demo` and `make test`.

PYTHON ?= python3
BIN := .venv/bin
DEMO := runs/demo
EXPORT := saved_models/digits/1
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: demo test test-slow lint format lock clean

venv: .venv/installed

.venv/installed: setup.py requirements.lock
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[dev]'
	touch $@

demo: venv
	rm -rf $(DEMO) saved_models/digits
	$(BIN)/python -m train --recipe=digits_resnet20 --workdir=$(DEMO)
	$(BIN)/python -m train.evaluate --network=resnet20 --weights=$(DEMO)/final.weights.h5 \
	  --dataset=digits --examples_out=$(DEMO)/test.npz
	$(BIN)/python -m keras_resnet.export --network=resnet20 --weights=$(DEMO)/final.weights.h5 --out=$(EXPORT)
	$(BIN)/python saved_models/classify.py $(EXPORT) $(DEMO)/test.npz
	$(BIN)/python saved_models/classify.py $(EXPORT)/model.tflite $(DEMO)/test.npz

test: venv
	$(BIN)/python -m pytest

test-slow: venv
	$(BIN)/python -m pytest -m slow

lint: venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: venv
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The newest versions that setup.py admits, written down for everybody's tests.
lock:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet -e '.[dev]'
	.venv-lock/bin/pip freeze --exclude-editable > requirements.lock
	rm -rf .venv-lock

clean:
	rm -rf .venv runs build dist *.egg-info .*_cache
