# p3m_lightning. `make` prints this help.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
EXPERIMENT ?= p3m_quick
ARGS ?=
CKPT ?= $(shell ls -t outputs/*/*/checkpoints/best.ckpt 2>/dev/null | head -n 1)

.DEFAULT_GOAL := help
.PHONY: help setup train sweep ppt test trust licenses wheel lint release-check data bench gpu demo docs notebooks clean

help: ## print this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(STAMP) ## build .venv with everything in it

$(STAMP): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' \
		|| { echo "make: $(PYTHON) is $$($(PYTHON) -V); Python 3.11 to 3.14 is needed: make setup PYTHON=python3.11"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable '.[test]'
	@touch $@

train: setup ## render synthetic portraits, train P3M-Net, evaluate (EXPERIMENT=..., ARGS='key=value ...')
	$(BIN)/p3m train experiment=$(EXPERIMENT) $(ARGS)

sweep: setup ## a grid over loss weights on rendered portraits, ranked (ARGS='hydra/launcher=processes ...')
	$(BIN)/p3m train -m experiment=sweep_loss_weights $(ARGS)

ppt: setup ## methods trained and tested on blurred and on normal rendered faces: the privacy table
	$(BIN)/p3m ppt $(ARGS)

test: setup ## run the tests (ARGS='-k name'; ARGS='-m slow': those that take long)
	$(BIN)/pytest -n auto $(ARGS)

trust: setup ## attack the package, long form: kills, full disks, hostile files, privacy; the table goes into docs/trust.md
	P3M_TRUST=long P3M_TRUST_PAGE=docs/trust.md $(BIN)/pytest -m 'slow or not slow' tests/trust $(ARGS)

licenses: setup ## the license of every dependency; what the project may not use ends it with 2
	$(BIN)/python tests/trust/licenses.py $(ARGS)

wheel: setup ## build the wheel, and a bill of materials (CycloneDX) beside it, in dist/
	$(BIN)/uv build --quiet --wheel --out-dir dist
	$(BIN)/python tests/trust/licenses.py --sbom dist/sbom.cdx.json > dist/licenses.txt

release-check: setup ## build wheel and sdist, look into them, install them into empty environments, use them (ARGS='--python 3.12')
	$(BIN)/python tests/release.py $(ARGS)

lint: setup ## ruff and mypy: style, formatting, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

data: setup ## render the synthetic portraits only
	$(BIN)/p3m data synthesize data/synthetic $(ARGS)

bench: setup ## speed of start, steps, photographs, growth, the loader and the metrics, error and speed of the upsamplers
	$(BIN)/p3m bench all
	$(BIN)/p3m bench growth
	$(BIN)/p3m bench precision
	$(BIN)/p3m bench loader
	$(BIN)/p3m bench metrics
	$(BIN)/p3m bench upsamplers

gpu: setup ## everything that wants a CUDA GPU, in ten minutes, into benchmarks/results/gpu.json (ARGS=--rehearse: without one)
	$(BIN)/p3m bench gpu $(ARGS)

demo: setup ## a page for the newest checkpoint (CKPT=PATH takes another)
	@test -n "$(CKPT)" || { echo 'make: no checkpoint in outputs/: run make train first, or give CKPT=PATH'; exit 2; }
	$(BIN)/p3m demo --ckpt $(CKPT) $(ARGS)

docs: setup ## the pages as a site, with the reference of keys and functions, in build/site/
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[docs]'
	$(BIN)/python docs/configuration_reference.py
	$(BIN)/zensical build --clean --strict

notebooks: setup ## run the notebooks from top to bottom
	$(BIN)/pytest -n auto -m 'slow or not slow' tests/test_notebooks.py

clean: ## remove what commands built, the environment too
	rm -rf .venv build dist outputs .pytest_cache .ruff_cache .mypy_cache src/*.egg-info
