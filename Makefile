# Everything a newcomer or a build server needs. `make demo` and `make test` do all their set-up themselves.
PYTHON ?= $(shell command -v python3.11 || command -v python3 || command -v python)
BIN := .venv/bin
READY := .venv/.ready
PACKAGES := dcp_core coreetl_driver dcp_primitives dcp_plugins_base dcp_plugins_derived_dataset dcp_plugins_ingestion \
	dcp_plugins_feature_platform dcp_graph_runner pretzel
PROJECTS := $(PACKAGES:%=%/pyproject.toml)
EDITABLE := -e './dcp_core[testing]' -e './coreetl_driver[local,server,postgresql,emr,databricks,sk8,kafka]' -e './dcp_primitives[iceberg,coreetl,airflow,kafka]' \
	-e ./dcp_plugins_base -e ./dcp_plugins_derived_dataset -e ./dcp_plugins_ingestion -e ./dcp_plugins_feature_platform \
	-e './dcp_graph_runner[server]' -e ./pretzel
WORKERS ?= 3
SERVICE_WORKERS ?= 2

.PHONY: help setup demo test test-services check format lint types contracts bench proto proto-check wheels clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

setup: $(READY) ## Make .venv with every package installed, `pretzel` included

# The versions in constraints.txt are the ones that were tested together.
$(READY): $(PROJECTS) pyproject.toml constraints.txt Makefile
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=…" >&2; exit 1; }
	@test -x $(BIN)/python || "$(PYTHON)" -m venv .venv
	@echo "Installing into .venv (a minute or two the first time) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt 'pip>=25.1' setuptools wheel hatchling editables
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation --group dev $(EDITABLE)
	@touch $(READY)

demo: setup ## Lint, test, plan, apply and run an example in a playground; print the rows of its Iceberg table
	@examples/demo.sh

test: setup ## The tests that need Python packages alone
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not services"

# Kubernetes alone: with two clusters at once on two cores, stops took longer than their tests wait.
test-services: setup ## The tests against real servers, which it installs and starts itself
	$(BIN)/python -m tests.services.install
	$(BIN)/python -m pytest -m services tests/services/kubernetes
	$(BIN)/python -m pytest -m services -n $(SERVICE_WORKERS) --dist loadfile --no-loadscope-reorder --ignore tests/services/kubernetes

check: setup format lint types contracts proto-check test ## What to run before every commit

format: setup ## Format the code
	$(BIN)/ruff format -q .

lint: setup ## Lint the code
	$(BIN)/ruff check .

types: setup ## Check the types
	$(BIN)/mypy $(PACKAGES)

contracts: setup ## Check who imports whom
	$(BIN)/lint-imports

bench: setup ## Print what things cost, as ratios
	$(BIN)/python -m benchmarks

# protoc runs from the root, so that the generated imports read dcp_core.proto.… .
proto: setup ## Generate the protobuf modules
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. dcp_core/proto/*.proto
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. --grpc_python_out=. coreetl_driver/proto/*.proto
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. dcp_graph_runner/proto/*.proto

proto-check: proto ## Fail when the committed modules are not what the .proto files give
	git diff --exit-code -- '*_pb2.py' '*_pb2.pyi' '*_pb2_grpc.py'

wheels: setup ## Build a wheel of each package into dist/
	@for each in $(PACKAGES); do $(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation -w dist ./$$each || exit 1; done; ls dist

clean: ## Remove what was installed and built
	rm -rf .venv dist .services .mypy_cache .ruff_cache .pytest_cache
