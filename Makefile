# Needs python3 (3.11 or newer, with venv and pip) and make; everything else goes into .venv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
CIRCUITS ?= 500
PIP    := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test agreement emulated simulated verify-cuda verify-mlir motifs mutants studies verdicts fuzz trust bench vsix playground site curves pictures dist clean

demo: $(VENV)/installed ## a circuit that assembles itself, on handwritten digits
	$(BIN)/circuitdsl demo --out demo

test: $(VENV)/installed-dev ## style and tests, that of the types among them
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pytest -n 2 --dist worksteal -rs

agreement: $(VENV)/installed-dev ## generated circuits: emitted code against the reference, with all passes, without each, by a crew, compiled, by node (an hour)
	NUMBA_DISABLE_JIT=1 $(BIN)/python tests/agreement.py numbers 0 $(CIRCUITS)
	NUMBA_DISABLE_JIT=1 $(BIN)/python tests/agreement.py passes 0 $(CIRCUITS)
	NUMBA_DISABLE_JIT=1 $(BIN)/python tests/agreement.py crew 0 $(CIRCUITS)
	$(BIN)/python tests/agreement.py compiled 0 $(CIRCUITS)
	$(BIN)/python tests/agreement.py javascript 0 $(CIRCUITS)
	$(BIN)/python tests/agreement.py library-javascript

motifs: $(VENV)/installed-dev ## random motifs: no claim may depend on the order of items, or be contradicted by a simulation (minutes)
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python tests/check_motifs.py --circuits 2000 --simulate 300

fuzz: $(VENV)/installed-dev ## programs drawn by chance through check, fmt, derive and the reference (an hour); PROGRAMS=5000 for fewer
	cd tests && OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 ../$(BIN)/python fuzz.py 0 $(or $(PROGRAMS),200000)

trust: $(VENV)/installed-dev ## what is promised, put to the test: docs/trust.md (hours); TRUST=--continue to go on, TRUST='--programs 5000 --circuits 10' for less
	cd tests && OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 ../$(BIN)/python trust.py $(TRUST)

bench: $(VENV)/installed-bench ## a step of learning beside PyTorch, JAX, NumPy and C: docs/performance.md (half an hour); BENCH=--quick for less
	$(BIN)/python benchmarks/bench.py $(BENCH)

mutants: $(VENV)/installed-dev ## edits of the source, one at a time, and the test that dies of each (minutes)
	$(BIN)/python tests/mutants.py

emulated: $(VENV)/installed-dev ## kernels on the emulated device: generated circuits against the reference, and without their barriers (an hour)
	NUMBA_DISABLE_JIT=1 $(BIN)/python tests/agreement.py emulated 0 300
	NUMBA_DISABLE_JIT=1 $(BIN)/python tests/barriers.py

simulated: $(VENV)/installed-dev ## kernels of ten circuits in the simulator of numba-cuda, where each thread is one of Python's (minutes)
	$(PIP) install -qq -e '.[cuda]'
	$(BIN)/python tests/simulated.py

verify-cuda: $(VENV)/installed-dev ## kernels of all circuits for six architectures, with what they take of a GPU (hours)
	$(PIP) install -qq -e '.[cuda]'
	$(BIN)/python tests/cubins.py

verify-mlir: $(VENV)/installed-dev ## the same kernels' phases by numba-cuda-mlir, which is to follow numba-cuda (many minutes)
	$(PIP) install -qq 'numba-cuda-mlir[cu13]' 'nvidia-nvvm==13.0.*' 'nvidia-nvjitlink==13.0.*' 'nvidia-cuda-nvrtc==13.0.*'
	$(BIN)/python tests/mlir.py

studies: $(VENV)/installed ## all studies in full, with docs/studies.md and its figures (many minutes)
	$(BIN)/circuitdsl study all --out study --docs docs || [ $$? -eq 1 ] # 1: a claim does not hold, as its page says

verdicts: $(VENV)/installed ## what is derived and measured of every circuit of the library: docs/verdicts.md (minutes)
	$(BIN)/python -m circuitdsl.report.verdicts

vsix: ## the extension for VS Code, circuitdsl.vsix (needs node 20 or newer, and npm)
	cd editors/vscode && npm install --no-package-lock --no-audit --no-fund --loglevel=error
	cd editors/vscode && npm run --silent pack -- --out ../../circuitdsl.vsix

playground: $(VENV)/installed ## a page that checks, derives and trains, as static files in playground/dist (needs node)
	$(BIN)/python playground/build.py
	@echo "serve it by: python3 -m http.server -d playground/dist"

site: $(VENV)/installed-site ## the pages as a site, in build/site (a minute)
	COLUMNS=100 NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -f website/mkdocs.yml

curves: $(VENV)/installed ## how every circuit of the library learns, for the gallery: website/curves.json (an hour)
	$(BIN)/python website/curves.py

pictures: $(VENV)/installed-dev ## docs/seen: a notebook, an editor, the playground, a report, as they look (minutes; needs node, Chromium, Neovim, tmux)
	$(PIP) install -qq jupyterlab
	$(BIN)/python website/pictures.py

dist: $(VENV)/installed-dev ## wheel and sdist, checked as a package index will, in dist/
	$(PIP) install -qq build twine
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/twine check --strict dist/*

clean:
	rm -rf $(VENV) demo study dist circuitdsl.vsix editors/vscode/node_modules editors/vscode/dist playground/dist playground/node_modules build

# The package is installed from this folder as it stands, so that only a change of what it needs
# installs it again.
$(VENV)/installed: pyproject.toml | $(BIN)/python
	@echo "installing circuitdsl and what it needs into $(VENV) (a minute or so)"
	@$(PIP) install -qq -e '.[run]'
	@touch $@

$(VENV)/installed-dev: pyproject.toml | $(BIN)/python
	@echo "installing circuitdsl and its tools into $(VENV) (a minute or so)"
	@$(PIP) install -qq -e '.[dev]'
	@touch $@ $(VENV)/installed

$(VENV)/installed-bench: pyproject.toml | $(BIN)/python
	@echo "installing circuitdsl and what it is measured against into $(VENV) (gigabytes)"
	@$(PIP) install -qq -e '.[bench]'
	@touch $@ $(VENV)/installed

$(VENV)/installed-site: pyproject.toml | $(BIN)/python
	@echo "installing circuitdsl and what makes its site into $(VENV) (a minute or so)"
	@$(PIP) install -qq -e '.[site]'
	@touch $@ $(VENV)/installed

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "circuitdsl needs Python 3.11 or newer: make PYTHON=python3.11")'
	@$(PYTHON) -m venv $(VENV)
