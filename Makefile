# The developer interface. `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= $(shell command -v python3.11 || command -v python3)
TOOLCHAIN := .cache/toolchain
BIN := .venv/bin
JSBIN := node_modules/.bin
UV := $(BIN)/uv
LOCK_FLAGS := --quiet --generate-hashes --no-emit-index-url --no-annotate --no-header --python-version 3.11
NODE18 := $(TOOLCHAIN)/node18/bin/node
# At most two: the smallest machine this must pass on has two cores.
PYTEST := $(BIN)/python -m pytest
PARALLEL := -n 2
# `make check` sets this, so that slow tests run in `make test` only.
MARKERS :=

export PATH := $(CURDIR)/$(BIN):$(PATH)
# Where `make setup` unpacks Ansible's collections; other places of yours are searched after it.
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/$(TOOLCHAIN)/collections
# Byte code and tool caches stay out of the tree.
export PYTHONPYCACHEPREFIX := $(CURDIR)/.cache/pycache

##@ Start here
.PHONY: help
help: ## show this list
	@on='' off=''; if [[ -t 1 ]]; then on='\033[36m' off='\033[0m'; fi; \
	  awk -v on="$$on" -v off="$$off" 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-zA-Z0-9_-]+:.*## / {printf "  %s%-18s%s %s\n", on, $$1, off, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: .venv/.project node_modules/.synced $(TOOLCHAIN)/.npm/node18/.installed $(TOOLCHAIN)/.npm/yarn/.installed $(TOOLCHAIN)/.npm/gitlab-ci-local/.installed $(TOOLCHAIN)/collections/.installed postgresql rsync ## install what the project needs, into .venv, node_modules and .cache
	@:

.PHONY: demo
demo: setup ## distribute a real Nx run over three agents, and show who did what
	@$(BIN)/nx-dte demo

##@ Checks
.PHONY: check
check: MARKERS := -m "not slow"
check: lint type arch js test-unit test-integration test-roles ## what takes under four minutes in all

.PHONY: test
test: lint lint-roles type arch js test-unit test-integration test-roles test-acceptance test-images test-molecule ## every check and every test; what CI runs

.PHONY: fmt
fmt: setup ## format Python and JavaScript, apply safe fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only --quiet .
	$(JSBIN)/biome check --write --no-errors-on-unmatched

.PHONY: lint
lint: setup ## ruff, codespell, deptry, shellcheck, yamllint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell
	$(BIN)/deptry --no-ansi src
	git ls-files -z --cached --others --exclude-standard -- '*.sh' .ci/run toolchain/molecule/gitlab-runner molecule/shared/stand-in-gitlab | xargs -0r $(BIN)/shellcheck
	$(BIN)/yamllint --strict ansible roles molecule .config/molecule

.PHONY: lint-roles
lint-roles: setup ## ansible-lint over roles, playbooks and scenarios; a minute
	$(BIN)/ansible-lint --offline -q ansible roles molecule

.PHONY: type
type: setup ## mypy, strict, over source and tests
	$(BIN)/mypy

.PHONY: arch
arch: setup ## import contracts, sizes, start-up cost, docs in step with code
	$(PYTEST) -q tests/architecture

.PHONY: js
js: setup ## biome, tsc --checkJs, and node:test on Node 18 and on this Node
	$(JSBIN)/biome ci --colors=off --no-errors-on-unmatched
	$(JSBIN)/tsc --project tsconfig.json
	node toolchain/node-tests.mjs "$(CURDIR)/$(NODE18)" node

##@ Tests
.PHONY: test-unit
test-unit: setup ## no network, no sleep, no clock
	$(PYTEST) -q $(PARALLEL) $(MARKERS) tests/unit

.PHONY: test-integration
test-integration: setup ## real SQLite and PostgreSQL, files and HTTP on loopback
	$(PYTEST) -q $(PARALLEL) $(MARKERS) tests/integration

.PHONY: test-acceptance
test-acceptance: setup ## the whole stack with a real Nx workspace, compared with plain nx
	$(PYTEST) tests/acceptance

.PHONY: test-images
test-images: wheel ## the images: what is in them, as jobs, beside a coordinator, in a registry
	@$(IMAGES) run -- $(PYTEST) -q $(PARALLEL) --dist loadfile tests/images

.PHONY: test-roles
test-roles: setup ## the roles' filters, modules, scripts and variables, and what runs their scenarios
	$(PYTEST) -q $(PARALLEL) $(MARKERS) tests/roles

.PHONY: test-molecule
test-molecule: molecule ## the roles on hosts with systemd and engines of their own

# Each scenario's log is .cache/molecule/NAME.log. GITLAB_RUNNER_BIN and GITLAB_RUNNER_HELPER_IMAGE (an archive that
# `docker save` made) put a real gitlab-runner in the stand-in's place in `fleet`.
MOLECULE := $(BIN)/python -m toolchain.molecule
.PHONY: molecule
molecule: wheel ## run the scenarios of the roles; one of them: make molecule/fleet
	@$(MOLECULE) test

molecule/%: wheel
	@$(MOLECULE) test $*

# Replay one: make chaos CHAOS="--seed 7 --round 3"
CHAOS := --runs 10
.PHONY: chaos
chaos: setup ## kill, freeze, cut off and fill up everything at random, and check every promise
	$(BIN)/python -m tests.chaos $(CHAOS)

.PHONY: bench
bench: setup ## measure cost per task and completions a second
	$(BIN)/python -m benchmarks

##@ Images
.PHONY: wheel
wheel: setup ## pack the project into the one file that all images install
	@rm -f dist/nx_dte-*.whl
	@$(BIN)/hatchling build -t wheel -d dist

# make images BASES=stand-in CA_FILE=corporate.pem; images/README.md has what these are for.
BASES := auto
IMAGES := $(PYTHON) -B -m toolchain.images
IMAGE_FLAGS := --bases $(BASES) $(if $(NODE),--node $(NODE)) $(if $(CA_FILE),--ca-file $(CA_FILE))
.PHONY: images
images: wheel ## build the runner image for each Node, and the coordinator's; one: make image/runner NODE=20
	@$(IMAGES) build $(IMAGE_FLAGS)

image/%: wheel
	@$(IMAGES) build $* $(IMAGE_FLAGS)

.PHONY: push
push: $(if $(REGISTRY),images) ## publish all images: make push REGISTRY=registry.example.com/group
	@[[ -n "$(REGISTRY)" ]] || { echo "say where to: make push REGISTRY=registry.example.com/group" >&2; exit 78; }
	@$(IMAGES) push --registry "$(REGISTRY)" $(if $(NODE),--node $(NODE)) $(if $(ALLOW_STAND_INS),--allow-stand-ins)

.PHONY: sbom
sbom: images ## list what is in each image, under dist/sbom
	@$(IMAGES) sbom $(if $(NODE),--node $(NODE))

##@ Upkeep
.PHONY: docs
docs: setup ## write the reference pages that are generated from code
	$(BIN)/python -m tests.support.reference_pages

.PHONY: promtool
promtool: ## find or fetch Prometheus's promtool, and check the alert rules with it
	tool=$$(bash toolchain/promtool.sh $(TOOLCHAIN)); \
	  "$$tool" check rules monitoring/alerts.yaml; \
	  "$$tool" test rules monitoring/tests/*_test.yaml

.PHONY: lock
lock: .venv/.made ## resolve the Python locks anew (hashes, no addresses)
	$(UV) pip compile $(LOCK_FLAGS) --upgrade requirements/bootstrap.in -o requirements/bootstrap.txt
	$(UV) pip compile $(LOCK_FLAGS) --upgrade --all-extras pyproject.toml requirements/dev.in -o requirements/dev.txt
	$(UV) pip compile $(LOCK_FLAGS) --upgrade --all-extras pyproject.toml -c requirements/dev.txt -o requirements/coordinator.txt
	$(UV) pip compile $(LOCK_FLAGS) --upgrade pyproject.toml -c requirements/dev.txt -o requirements/runner.txt

.PHONY: clean
clean: ## remove everything that setup and tests made
	rm -rf .venv node_modules .cache .coverage dist

# --------------------------------------------------------------------------- steps of setup, as stamps
# A stamp lives in the folder it vouches for: removing the folder removes the stamp.
.venv/.made: requirements/bootstrap.txt toolchain/venv.sh
	bash toolchain/venv.sh "$(PYTHON)" .venv
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements/bootstrap.txt
	@touch $@

.venv/.synced: requirements/dev.txt .venv/.made
	@mkdir -p .cache
	cat requirements/bootstrap.txt requirements/dev.txt > .cache/all-requirements.txt
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes .cache/all-requirements.txt
	@touch $@

# The editable project: the sync above removes it, so it comes after, whenever the sync ran.
.venv/.project: pyproject.toml .venv/.synced
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

node_modules/.synced: package.json package-lock.json .npmrc
	npm ci --silent --ignore-scripts
	@touch $@

$(TOOLCHAIN)/.npm/%/.installed: toolchain/%/package.json toolchain/%/package-lock.json toolchain/npm-tool.sh
	bash toolchain/npm-tool.sh $* $(TOOLCHAIN)
	@touch $@

$(TOOLCHAIN)/collections/.installed: ansible/requirements.yml requirements/collections.txt toolchain/collections.py .venv/.synced
	@$(PYTHON) -B -m toolchain.collections $(TOOLCHAIN)/collections
	@touch $@

# A server for the tests: the machine's own, else Debian's, unpacked here. Quick when there is one, so without a stamp.
.PHONY: postgresql
postgresql: ## find PostgreSQL, or unpack Debian's for the tests
	@$(PYTHON) -B -m toolchain.postgresql $(TOOLCHAIN)/postgresql

# gitlab-ci-local copies a job's files with it.
.PHONY: rsync
rsync: ## find rsync, or unpack Debian's for the tests
	@$(PYTHON) -B -m toolchain.rsync $(TOOLCHAIN)/rsync
