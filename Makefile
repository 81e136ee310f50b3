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
SOURCES := core/src $(wildcard plugins/*/src) docs/examples $(wildcard docs/*.py) benchmarks tests/cluster/realkube deploy/helm/generate.py deploy/helm/generated deploy/container
BIN := .venv/bin
READY := .venv/ready.stamp

.DEFAULT_GOAL := test
.PHONY: demo test test-cluster lint docs chart bench lock image image-lock clean

demo: $(READY)
	@$(BIN)/drakit demo --all

# The two runs are counted apart, and the second is made whatever the first came to: all of it that needs something from
# outside, an index of packages or Kubernetes. A cluster waits more than it works,
# so that two workers, with clusters of their own, take little more than half the time of one.
test: lint
	@$(BIN)/pytest -n $(WORKERS) --dist worksteal --ignore tests/cluster $(PYTEST_ARGS); quick=$$?; \
	$(BIN)/pytest tests/packaging tests/cluster -m "packaging or control_plane or node" -n 2 -v --durations=25; cluster=$$?; \
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

# What the Helm chart has of the code.
chart: $(READY)
	$(BIN)/python deploy/helm/generate.py

# The pages that are made from the tests, and from the code.
docs: $(READY) chart
	$(BIN)/python docs/reliability.py
	$(BIN)/python docs/kubernetes.py
	$(BIN)/python docs/metrics.py
	$(BIN)/python docs/conformance.py
	$(BIN)/python docs/explain.py
	$(BIN)/python docs/topology.py
	$(BIN)/python docs/security.py

bench: $(READY)
	$(BIN)/python benchmarks/run.py

# Pin what the projects ask for. What is pinned already stays, but for `make lock UPGRADE=--upgrade`.
lock: $(READY)
	$(BIN)/uv pip compile --quiet $(PROJECTS) --group dev --universal --python-version 3.11 --generate-hashes \
		--no-annotate --no-emit-index-url $(foreach name,drakit drakit-neuron drakit-efa drakit-mock,--no-emit-package $(name)) \
		--custom-compile-command "make lock" $(UPGRADE) --output-file requirements.lock

# The container image, without a container engine. ARCH are the architectures it is for, as in ARCH="amd64 arm64" (by
# default this machine's); OUTPUT is an archive if it ends in .tar, else a directory; REPOSITORY and TAG are its name
# (by default drakit, and the version). See docs/image.md.
image: $(READY)
	@SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null)} $(BIN)/python deploy/container/build.py \
		--output "$(or $(OUTPUT),dist/drakit-image.tar)" $(ARCH:%=--arch %) $(if $(REPOSITORY),--repository "$(REPOSITORY)") \
		$(if $(TAG),--tag "$(TAG)") --revision "$(or $(REVISION),$(shell git rev-parse HEAD 2>/dev/null))" --source "$(SOURCE)"

# Pin the newest Debian packages: with what Debian has mended since.
image-lock: $(READY)
	$(BIN)/python deploy/container/build.py --renew-lock

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
