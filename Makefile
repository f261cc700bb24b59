# `make demo` and `make test` work on a machine with only python3 and make: each builds .venv and does its whole job.
# `make help` lists the targets.
#
# Variables, given as `make NAME=value target`:
#   PYTHON       the Python, 3.11 or newer, that builds the environment (python3)
#   TORCH_INDEX  an extra package index for torch, where pip's own has no CPU build: https://download.pytorch.org/whl/cpu
#   WORKERS      parallel test processes, one thread each (2)
#   LOCKED       cpu or cuda: install the tests' packages by their sha256 alone (.ci/lock), torch of that build
#   KILLS        how often `make faults` kills a command (500)
#   AUDIT        options for pip-audit in `make audit`

PYTHON ?= python3
TORCH_INDEX ?=
WORKERS ?= 2
KILLS ?= 500
LOCKED ?=
AUDIT ?=

VENV := .venv
ORACLE := .venv-oracle
LOWEST := .venv-lowest
HIGHEST := .venv-highest
TOOLS := .venv-tools
TORCH := $(shell sed -n 's/^torch==//p' constraints.txt)
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

# Threads that spin while they wait slow each other down as soon as there are more of them than cores.
export OMP_WAIT_POLICY ?= passive

# Real images for the benchmarks and the Inception layers for the metrics, if they lie beside this folder.
# HQGAN_INCEPTION= (empty) does without.
INCEPTION := ../shared/weights/inception_2015-12-05_to_mixed7a.safetensors
ifneq ($(wildcard $(INCEPTION)),)
export HQGAN_INCEPTION ?= $(CURDIR)/$(INCEPTION)
endif
IMAGES := ../shared/data/ham10000
ifneq ($(wildcard $(IMAGES)),)
bench: export HQGAN_DATA ?= $(CURDIR)/$(IMAGES)
endif

# One thread in each test process. --dist loadfile keeps a file's fixtures, such as a trained model, in one process.
PYTEST := OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest
PARALLEL := -n $(WORKERS) --dist loadfile
MARKED := slow or faults or browser or cluster or gpu or hardware or oracle
# pytest leaves with 5 where no test carries the marker: nothing to run is not a failure.
OR_NONE := || { status=$$?; test $$status -eq 5; }

.DEFAULT_GOAL := help
.PHONY: help demo test coverage check lint types layers slow faults oracles cluster browser docs notebook screenshots figure \
	bench tables constraints lock lowest highest audit sbom dist mutants clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.core  ## train a small model on built-in images and measure it (5 minutes once installed)
	$(VENV)/bin/hqgan demo

test: $(VENV)/.dev  ## all tests but the marked ones
	$(PYTEST) $(PARALLEL) -m "not ($(MARKED))"

# Which lines ran, subprocesses counted in; measured here alone, so that tests run at their own speed elsewhere.
COVERAGE := COVERAGE_FILE=$(CURDIR)/.coverage/data $(VENV)/bin/coverage
LEAST_COVERED := 15

coverage: $(VENV)/.dev  ## the same; fails where they run less than 90 % of the lines of src/
	@rm -rf .coverage && mkdir .coverage
	OMP_NUM_THREADS=1 $(COVERAGE) run -m pytest $(PARALLEL) -m "not ($(MARKED))"
	@$(COVERAGE) combine --quiet
	@$(COVERAGE) report > .coverage/report.txt; status=$$?; echo "lines of src/ that ran, the least covered files:"; \
		head -n $$(($(LEAST_COVERED) + 2)) .coverage/report.txt; tail -n 2 .coverage/report.txt; exit $$status

# Qiskit takes its time to start; what runs on devices is tested by `make test`.
ON_DEVICES := $(foreach name,aer backends devices ibm jobs layout mitigation trajectories interop_qiskit,--ignore=tests/quantum/test_$(name).py)
check: lint types layers  ## what every commit passes: lint, types, layering and the quickest tests
	$(PYTEST) $(PARALLEL) -m "not ($(MARKED))" tests/test_repository.py tests/quantum tests/models $(ON_DEVICES)

lint: $(VENV)/.dev  ## ruff: rules and format
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(VENV)/.dev  ## mypy
	$(VENV)/bin/mypy

layers: $(VENV)/.dev  ## the dependency direction between the packages
	$(PYTEST) tests/test_layers.py

slow: $(VENV)/.dev  ## tests marked slow
	$(PYTEST) $(PARALLEL) -m "slow and not (faults or browser or cluster or gpu or hardware or oracle)" $(OR_NONE)

# Each test has folders of its own, so that they go wherever there is room; the long ones are few.
faults: $(VENV)/.cluster  ## tests marked faults: kills, full disks, bad input; prints how many of each (45 minutes)
	KILLS=$(KILLS) $(PYTEST) -n $(WORKERS) --dist worksteal -m faults $(OR_NONE)

oracles: $(ORACLE)/.done  ## tests against tools that need torchvision, in an environment of their own
	OMP_NUM_THREADS=1 $(ORACLE)/bin/python -m pytest -m oracle $(OR_NONE)

cluster: $(VENV)/.cluster  ## tests on a local cluster of several nodes, some of which die
	$(PYTEST) -m cluster $(OR_NONE)

browser: $(VENV)/.browser  ## tests that click through pages in headless Chromium
	$(PYTEST) -m browser $(OR_NONE)

# The notebook's page is its last run, where there was one.
docs: $(VENV)/.docs  ## build the documentation into site/, without network, and check it
	$(VENV)/bin/python .ci/pages.py
	$(VENV)/bin/zensical build --clean --strict
	$(VENV)/bin/python .ci/site.py

notebook: $(VENV)/.docs  ## run the notebook from top to bottom (under 5 minutes)
	$(VENV)/bin/python .ci/notebook.py notebooks/hqgan.ipynb

screenshots: $(VENV)/.browser  ## take docs/images/report.png and app.png anew; HQGAN_DATA names HAM10000
	$(VENV)/bin/python .ci/screenshots.py

figure: $(VENV)/.core  ## draw docs/images/how-it-works.svg anew
	$(VENV)/bin/python .ci/figure.py

BENCHMARKS := $(filter-out %/machine.py %/vqc_peers.py %/noise.py,$(wildcard benchmarks/*.py))
bench: $(VENV)/.core  ## speed and memory, each beside the machine's own matrix rate; HQGAN_DATA names the images
	for script in $(BENCHMARKS); do $(VENV)/bin/python $$script || exit 1; done

# .ci/tables.py says how results get there.
tables: $(VENV)/.core  ## write the tables of README and docs anew from docs/results
	$(VENV)/bin/python .ci/tables.py

constraints:  ## resolve constraints.txt anew
	rm -rf .venv-constraints && $(PYTHON) -m venv .venv-constraints
	.venv-constraints/bin/python .ci/constraints.py $(TORCH)
	rm -rf .venv-constraints

lock: $(VENV)/.core  ## write .ci/lock anew: the versions of constraints.txt with the sha256 of every file
	$(VENV)/bin/python .ci/lock.py $(LOCKED_EXTRAS) "$(FIDELITY)"

# Both run with warnings as warnings: an old package may find a new one's deprecations, and that is not ours to mend.
SUPPORTED = OMP_NUM_THREADS=1 $(1)/bin/python -m pytest $(PARALLEL) -o filterwarnings=default -m "not ($(MARKED))"

lowest: $(LOWEST)/.done  ## the tests of `make test` on the lowest versions that pyproject.toml allows
	$(call SUPPORTED,$(LOWEST))

highest: $(HIGHEST)/.done  ## the same on the newest versions that pip finds, constraints.txt ignored
	$(call SUPPORTED,$(HIGHEST))

audit: $(TOOLS)/.done  ## ask an advisory database about every locked package (network)
	$(TOOLS)/bin/python .ci/audit.py $(TOOLS)/bin/pip-audit $(AUDIT)

sbom: $(TOOLS)/.done $(VENV)/.dev  ## list what the environment holds, with versions and licences: dist/sbom.json (CycloneDX)
	@mkdir -p dist
	$(TOOLS)/bin/cyclonedx-py environment $(VENV) --pyproject pyproject.toml --output-reproducible -o dist/sbom.json

dist: $(VENV)/.dev  ## build wheel and source archive into dist/, the same bytes wherever built
	rm -f dist/*.whl dist/*.tar.gz
	$(VENV)/bin/python -m hatchling build
	cd dist && sha256sum *.whl *.tar.gz

mutants: $(VENV)/.dev  ## change one thing at a time in quantum/ and metrics.py: do the tests notice? (hours)
	$(VENV)/bin/python $(PIP_INSTALL) cosmic-ray
	$(VENV)/bin/python .ci/mutate.py --workers $(WORKERS)

clean:  ## remove environments and caches, keep runs/
	rm -rf .venv .venv-* .coverage dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- environments: a stamp file each, older than pyproject.toml or constraints.txt means install again ----

# Most extras are among the tests' packages, so that what needs them is tested wherever tests run.
# pip is the last thing that venv writes, so an interrupted build is built again.
$(foreach environment,$(VENV) $(ORACLE) $(LOWEST) $(HIGHEST) $(TOOLS),$(environment)/bin/pip):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "hqgan needs Python 3.11 or newer; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "This Python cannot build environments (no venv or ensurepip)." \
		"On Debian or Ubuntu: apt-get install python3-venv. Or name another: make PYTHON=... $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(@:%/bin/pip=%)

TESTED := dev,diffusion,quantum,app,export,loggers
LOCKED_EXTRAS := $(TESTED),cluster,browser,docs
# A locked environment holds everything from the start.
EXTRA = $(if $(LOCKED),,$(VENV)/bin/python $(PIP_INSTALL) -e '.[$(TESTED),$(1)]')

$(VENV)/.core: pyproject.toml constraints.txt | $(VENV)/bin/pip
	@echo "installing torch and some thirty packages into $(VENV): a few minutes the first time"
	$(VENV)/bin/python $(if $(LOCKED),.ci/install.py $(LOCKED) $(TORCH_INDEX),$(PIP_INSTALL) -e .)
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	@echo "installing what the tests need into $(VENV), Qiskit among it: a few minutes the first time"
	$(call EXTRA,dev)
	@touch $@

$(VENV)/.cluster: $(VENV)/.dev
	$(call EXTRA,cluster)
	@touch $@

# Debian's own browser where there is none: Playwright's needs a download that registries do not have.
$(VENV)/.browser: $(VENV)/.dev
	$(call EXTRA,browser)
	@command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } || \
		{ echo "The browser tests need chromium. On Debian or Ubuntu, as root: apt-get install chromium" >&2; exit 1; }
	@touch $@

$(VENV)/.docs: $(VENV)/.dev
	$(call EXTRA,docs)
	@touch $@

# The tests' environment and three packages before it. torchvision 0.16.2 is the newest that imports beside a CPU torch
# of today from the common index, and only without its own pin of torch (--no-deps); torch-fidelity comes the same way,
# or pip would mend the pair with a CUDA torch.
FIDELITY := torchvision==0.16.2 torch-fidelity timm
$(ORACLE)/.done: $(VENV)/.dev | $(ORACLE)/bin/pip
	$(ORACLE)/bin/python .ci/beside.py $(VENV)
	$(ORACLE)/bin/python $(PIP_INSTALL) --no-deps $(if $(LOCKED),--require-hashes -r .ci/lock/oracles.txt,$(FIDELITY))
	@touch $@

# What of pyproject.toml names no lower bound, and what these bring, is the newest that goes with them.
$(LOWEST)/.done: pyproject.toml .ci/lowest.py | $(LOWEST)/bin/pip
	@echo "installing the lowest versions into $(LOWEST): some minutes"
	$(LOWEST)/bin/python .ci/lowest.py $(TESTED) > $(LOWEST)/lowest.txt
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check --only-binary=:all: -r $(LOWEST)/lowest.txt
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(HIGHEST)/.done: pyproject.toml | $(HIGHEST)/bin/pip
	@echo "installing the newest versions into $(HIGHEST): some minutes"
	$(HIGHEST)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade --upgrade-strategy=eager -e '.[$(TESTED)]'
	@touch $@

# Apart, so that what these depend on changes nothing of what is tested.
$(TOOLS)/.done: | $(TOOLS)/bin/pip
	$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check pip-audit cyclonedx-bom
	@touch $@
