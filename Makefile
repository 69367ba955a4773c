# Two commands set everything up on a fresh machine: `make demo` and `make test`.

PYTHON ?= python3
BIN := .venv/bin
DEMO := runs/demo
EXPORT := saved_models/digits/1
TORCH := 2.13.0
JOBS ?= 2
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: demo test test-slow docs lint format lock clean

venv: .venv/installed

.venv/installed: setup.py requirements.lock
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[dev]'
	touch $@

# What the tests compare with. Without dependencies, since torchvision and timm would bring a Torch
# of their own choice: gigabytes of it, for GPUs.
.venv/parity: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[dev,parity]'
	$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock --no-deps torchvision timm
	touch $@

# The real Triton and KServe, in an environment of their own: they want other versions than the library.
.venv/servers/installed: tests/support/servers_requirements.txt | .venv/installed
	$(PYTHON) -m venv .venv/servers
	.venv/servers/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

demo: venv
	rm -rf $(DEMO) saved_models/digits
	$(BIN)/python -m train --recipe=digits_resnet20 --workdir=$(DEMO)
	$(BIN)/python -m train.evaluate --network=resnet20 --weights=$(DEMO)/final.weights.h5 \
	  --dataset=digits --examples_out=$(DEMO)/test.npz
	$(BIN)/python -m train.evaluate --network=resnet20 --weights=$(DEMO)/final.weights.h5 \
	  --dataset=digits --split=train --examples=1024 --examples_out=$(DEMO)/train.npz
	$(BIN)/python -m keras_resnet.export --network=resnet20 --weights=$(DEMO)/final.weights.h5 --out=$(EXPORT) \
	  --formats=saved_model,tflite,tflite_int8 --calibration_file=$(DEMO)/train.npz
	for model in $(EXPORT) $(EXPORT)/model.tflite $(EXPORT)/model_int8.tflite; do \
	  $(BIN)/keras-resnet predict --weights=$$model --csv --top=1 $(DEMO)/test.npz > $(DEMO)/predictions.csv || exit 1; done
	head -n 4 $(DEMO)/predictions.csv

test: .venv/parity
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

test-slow: .venv/parity .venv/servers/installed
	$(BIN)/python -m pytest -m slow -n $(JOBS) --dist loadfile

# The site, in build/docs; a warning is an error. It needs no network, also where it is read.
docs: venv
	$(BIN)/python -m sphinx -qWE --keep-going -c docs . build/docs
	@echo build/docs/index.html

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
	.venv-lock/bin/pip install --quiet -e '.[dev,parity]' torch==$(TORCH)
	.venv-lock/bin/pip install --quiet --no-deps torchvision timm
	.venv-lock/bin/pip freeze --exclude-editable | grep -Ev '^(nvidia|cuda|triton)' | sed 's/+cpu$$//' > requirements.lock
	rm -rf .venv-lock

clean:
	rm -rf .venv runs build dist *.egg-info .*_cache
