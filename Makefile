# Everything runs in .venv, which is made and kept up to date as needed. `make PYTHON=python3.12` chooses another Python.
# `make test` ends with tests on real Kubernetes where the machine can run it, `make test-cluster` has all of those.
PYTHON ?= python3
PYTEST_ARGS ?=
UPGRADE ?=
KUBE ?=
# Two for each core: many tests wait, for processes and for each other.
WORKERS ?= $(shell expr $$(nproc) \* 2)

MEMBERS := core plugins/neuron plugins/efa plugins/mock
PROJECTS := pyproject.toml $(MEMBERS:=/pyproject.toml)
SOURCES := core/src $(wildcard plugins/*/src) docs/examples docs/reliability.py docs/kubernetes.py docs/metrics.py docs/conformance.py docs/explain.py docs/topology.py $(wildcard benchmarks) tests/cluster/realkube
BIN := .venv/bin
READY := .venv/ready.stamp

.DEFAULT_GOAL := test
.PHONY: demo test test-cluster lint docs bench lock clean

demo: $(READY)
	@$(BIN)/drakit demo --all

# The two runs are counted apart, and the second is made whatever the first came to. A cluster waits more than it works,
# so that two workers, with clusters of their own, take little more than half the time of one.
test: lint
	@$(BIN)/pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS); quick=$$?; \
	$(BIN)/pytest tests/cluster -m "control_plane or node" -n 2 -v --durations=25; cluster=$$?; \
	test $$quick -eq 0 && test $$cluster -eq 0

# All tiers, on the newest release or on that of KUBE: make test-cluster KUBE=1.35. Without KUBE it is also noted which
# features work on which release, for `make docs`.
test-cluster: $(READY)
	DRAKIT_KUBE=$(KUBE) DRAKIT_MATRIX=$(if $(KUBE),,tests/cluster/matrix.json) $(BIN)/pytest tests/cluster -m cluster -v --durations=40

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(SOURCES)
	$(BIN)/lint-imports

# The pages that are made from the tests, and from the code.
docs: $(READY)
	$(BIN)/python docs/reliability.py
	$(BIN)/python docs/kubernetes.py
	$(BIN)/python docs/metrics.py
	$(BIN)/python docs/conformance.py
	$(BIN)/python docs/explain.py
	$(BIN)/python docs/topology.py

bench: $(READY)
	$(BIN)/python benchmarks/run.py

# Pin what the projects ask for. What is pinned already stays, but for `make lock UPGRADE=--upgrade`.
lock: $(READY)
	$(BIN)/uv pip compile --quiet $(PROJECTS) --group dev --universal --python-version 3.11 --generate-hashes \
		--no-annotate --no-emit-index-url $(foreach name,drakit drakit-neuron drakit-efa drakit-mock,--no-emit-package $(name)) \
		--custom-compile-command "make lock" $(UPGRADE) --output-file requirements.lock

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist build artifacts

# A Python without ensurepip (some distributions split it off) still makes an environment: its own pip fills it.
$(READY): requirements.lock $(PROJECTS)
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("drakit needs Python 3.11 or later, and $(PYTHON) is %d.%d. Choose another, as in: make PYTHON=python3.12" % v[:2])'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv >/dev/null 2>&1 || $(PYTHON) -m venv --clear --without-pip .venv
	@pip="$(BIN)/python -m pip"; $$pip --version >/dev/null 2>&1 || pip="$(PYTHON) -m pip --python $(BIN)/python"; \
	set -ex; \
	$$pip install --quiet --require-hashes --requirement requirements.lock; \
	$$pip install --quiet --no-deps --no-build-isolation $(MEMBERS:%=--editable ./%)
	@touch $@
