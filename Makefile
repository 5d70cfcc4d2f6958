# One target for each task; `make help` lists them. Each target first prepares what it needs (.venv, .venv-aws, node_modules,
# zips), but only once: files called .stamp-* say what is already there.
#
# Paths are relative and Python tools run as `python -m`: the first line of a script in .venv/bin breaks when the
# checkout's path has a space in it.

# macOS ships make 3.81; `.ONESHELL` came with 3.82, so its absence tells an old make apart. Nothing above needs a newer one.
ifeq ($(filter oneshell,$(.FEATURES)),)
$(error Spillway needs GNU make 4 or newer, this is $(MAKE_VERSION). On macOS: brew install make, then gmake)
endif
ifneq ($(firstword $(sort $(MAKE_VERSION) 4.0)),4.0)
$(error Spillway needs GNU make 4 or newer, this is $(MAKE_VERSION))
endif

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

# The first interpreter that is new enough; `make test PYTHON=python3.12` chooses another.
PYTHON := $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
PYTHON_VERSION := $(shell "$(PYTHON)" -c 'import sys; print(*sys.version_info[:2], sep=".")' 2>/dev/null)

PY := .venv/bin/python
PY_AWS := .venv-aws/bin/python
SERVERLESS := node node_modules/osls/bin/serverless.js
PIP_INSTALL := -m pip --disable-pip-version-check install --quiet

# `make ... STAGE=production` names the stage, whose settings are in `.env.production` (.env.example). The default is dev.
STAGE ?= dev
# Passed on to pytest (`make test ARGS="tests/unit -x"`) and to serverless (`make deploy ARGS=--verbose`).
ARGS ?=
# The number of test processes: five keep two cores busy, because tests/e2e often waits for a clock; tests that
# never wait need three (docs/adr/0044). `make test ARGS=-n0` runs one process, for --pdb and -s.
SIDE_BY_SIDE := -n 5
FAST_SIDE_BY_SIDE := -n 3
# A container often forbids bytecode. Then every process that a test or a deploy starts would compile the project anew.
export PYTHONDONTWRITEBYTECODE :=
# Options of this make are not meant for the makes that tests start.
PYTEST = env -u ARGS -u MAKEFLAGS -u MFLAGS -u MAKELEVEL $(PY) -m pytest
# The number of examples of each kind that `make fuzz` tries.
FUZZ_EXAMPLES ?= 5000

# Variables on the command line reach the tools as environment variables, and make itself ignores variables that it does
# not know: with `stage=production` the stage would still be dev.
SAID := $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
OUR_SAID := $(filter-out .%,$(SAID))
UPPER = $(shell printf '%s' '$1' | tr '[:lower:]-' '[:upper:]_')
define REFUSE_LOWER
$(if $(filter-out $(call UPPER,$1),$1),$(error make's variables are written in capitals: $(call UPPER,$1)=..., not $1=...))
endef
# The variables that this file names, and those that only the tools read. A name with an underscore may be a partner's
# (ACME_URL).
KNOWN = $(shell grep -oE '\b[A-Z]+\b' $(firstword $(MAKEFILE_LIST))) ATTEMPTS DATA EVENTS PARTNER POD SCENARIO
define REFUSE_UNKNOWN
$(if $(or $(findstring _,$1),$(filter $1,$(KNOWN))),,$(error make knows no variable $1; make help names them))
endef
$(foreach name,$(OUR_SAID),$(call REFUSE_LOWER,$(name))$(call REFUSE_UNKNOWN,$(name)))
# `make deploy production` is refused, too: make itself would object to the second word only after it had deployed.
VERBS = $(shell sed -nE 's/^([.a-z][a-z_ -]*[a-z]):( .*)?$$/\1/p' $(firstword $(MAKEFILE_LIST)))
ifneq ($(word 2,$(MAKECMDGOALS)),)
$(foreach word,$(filter-out $(VERBS),$(MAKECMDGOALS)),$(error make knows no verb $(word); make help names them, and a stage is STAGE=...))
endif
ifneq ($(filter environment,$(origin stage)),)
$(error The environment holds "stage", and make reads STAGE)
endif

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' -v width=80 '/^[a-z-]+:.*## / { line = sprintf("  make %-10s", $$1); count = split($$2, words, " "); \
		for (place = 1; place <= count; place++) { \
			if (length(line) + 1 + length(words[place]) > width) { print line; line = sprintf("%17s", "") } \
			line = line " " words[place] } \
		print line }' Makefile

# --- verbs ----------------------------------------------------------------------------------------------------------

.PHONY: demo
demo: .venv .venv-aws node_modules build-local ## Send a spike through the direct design and through Spillway, on an embedded AWS (REQUESTS=2000 LIMIT=50 ...)
	@$(PY) -m ops.cli demo $(ARGS)

.PHONY: demos
demos: .venv .venv-aws node_modules build-local ## Run all five demos in their default size, about fifteen minutes; stop at the first that fails
	@for scenario in spike outage throttle poison noisy; do \
		echo "--- SCENARIO=$$scenario"; \
		$(PY) -m ops.cli demo --scenario "$$scenario" --folder "build/demo/$$scenario" $(ARGS); done

.PHONY: local
local: .venv .venv-aws node_modules build-local ## Run an AWS and a partner on this machine until Ctrl-C (ARGS=--no-deploy: deploy yourself)
	@$(PY) -m ops.cli local $(ARGS)

.PHONY: test
test: .venv .venv-aws node_modules build-aws build-local ## Run every test: unit, property, integration, end to end (ARGS="-k name")
	@$(PYTEST) $(SIDE_BY_SIDE) $(ARGS)

.PHONY: test-fast
test-fast: .venv ## Run every test but those that deploy, need the embedded AWS or simulate the fleet (ARGS="-k name")
	@$(PYTEST) $(FAST_SIDE_BY_SIDE) --ignore=tests/e2e --ignore=tests/integration/infra --ignore=tests/scenario $(ARGS)

.PHONY: fuzz
fuzz: .venv ## Try odd requests, queue bodies and answers for some minutes, FUZZ_EXAMPLES of each kind (5000)
	@FUZZ_EXAMPLES="$(FUZZ_EXAMPLES)" $(PY) -m pytest tests/property/test_fuzz_ingest.py tests/property/test_fuzz_worker.py \
		tests/property/test_fuzz_answers.py $(ARGS)

.PHONY: check
check: .venv node_modules build-aws ## Check format, lint, types, imports, workflows, templates
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@$(PY) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'
	@$(PY) -m bandit --quiet --configfile pyproject.toml --severity-level medium --recursive ingest_fn worker_fn shared partners testkit ops infra bench
	@.venv/bin/zizmor --offline --no-progress --quiet --persona pedantic .github
	@for queues in standard fifo; do \
		echo "cfn-lint: the template with $$queues queues"; \
		env $(EVERYTHING_ON) QUEUE_TYPE=$$queues $(SERVERLESS) package --package build/check/$$queues >build/check.log 2>&1 || { cat build/check.log; exit 1; }; \
		$(PY) -c 'import sys; from cfnlint.runner.cli import main; sys.exit(main())' build/check/$$queues/cloudformation-template-update-stack.json; done

# What the templates of `check` are made with: everything that can be switched on is in them.
EVERYTHING_ON := PARTNER=partners.webhook WEBHOOK_URL=https://partner.example/ WEBHOOK_SECRET_HEADERS=ssm:/spillway/headers \
	TOKEN_SOURCE=ssm:/spillway/token PERMISSIONS_BOUNDARY=spillway-boundary ALARM_EMAIL=oncall@example.com PKG_TARGET=aws

.PHONY: scenarios
scenarios: .venv ## Run the simulated fleet through outages, storms and workers' deaths (SEED=7 or 1-20, NAME=outage)
	@$(PY) -m ops.scenarios $(ARGS)

.PHONY: build
build: .venv ## Build the zips of both functions, for AWS and for the embedded AWS
	@$(PY) -m infra.build aws local

.PHONY: deploy
deploy: .venv node_modules ## Deploy to AWS (STAGE=production, ALIAS_MODE=hold to keep the live version, ALLOW=PARTNER to replace the partner, FORCE=1 despite broken rules)
	@$(SERVERLESS) deploy --stage "$(STAGE)" $(if $(FORCE),--force) $(ARGS)

.PHONY: promote
promote: .venv ## Make the newest version live, or another one (STAGE=production TO=12)
	@$(PY) -m ops.cli promote --stage "$(STAGE)" $(if $(TO),--to "$(TO)") $(ARGS)

.PHONY: rollback
rollback: .venv ## Make the version live that was live before (STAGE=production)
	@$(PY) -m ops.cli rollback --stage "$(STAGE)" $(ARGS)

.PHONY: versions
versions: .venv ## Show what is live, since when, and from which commit (STAGE=production ARGS="--prune 5")
	@$(PY) -m ops.cli versions --stage "$(STAGE)" $(ARGS)

.PHONY: remove
remove: node_modules ## Remove a stack, after saying what is deleted and what is kept (STAGE=production, YES=1)
	@$(SERVERLESS) remove --stage "$(STAGE)" $(ARGS)

.PHONY: bench
bench: .venv .venv-bench build-local ## Measure CPU, speed and price against named peers and limits, in ten minutes (docs/performance.md)
	@$(PY) -m bench $(ARGS)

.PHONY: bench-quick
bench-quick: .venv .venv-bench build-local ## Measure the same in a minute, with wider spread (ARGS="--only worker")
	@$(PY) -m bench --quick $(ARGS)

.PHONY: lock
lock: .venv ## Lock requirements/*.in anew, with hashes
	@cd requirements && for name in ingest worker local-aws bench dev; do \
		../$(PY) -m uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header \
			--output-file "$$name.txt" "$$name.in"; done

.PHONY: clean
clean: ## Remove what make created: environments, node_modules, zips, caches
	@rm -rf .venv .venv-aws .venv-bench node_modules build .serverless ops/demo/direct_stack/.serverless \
		.mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

# --- what they stand on ---------------------------------------------------------------------------------------------

.PHONY: build-aws build-local
build-aws: .venv
	@$(PY) -m infra.build aws
build-local: .venv
	@$(PY) -m infra.build local

# The Python version is a part of the stamp's name: another PYTHON makes the environments anew.
VENV_STAMP := .venv/.stamp-$(PYTHON_VERSION)
PROJECT_STAMP := .venv/.stamp-project
VENV_AWS_STAMP := .venv-aws/.stamp-$(PYTHON_VERSION)
VENV_BENCH_STAMP := .venv-bench/.stamp-$(PYTHON_VERSION)
NODE_STAMP := node_modules/.stamp

.PHONY: .venv .venv-aws .venv-bench node_modules
.venv: $(PROJECT_STAMP)
.venv-aws: $(VENV_AWS_STAMP)
.venv-bench: $(VENV_BENCH_STAMP)
node_modules: $(NODE_STAMP)

define NEED_PYTHON
	@test -n "$(PYTHON_VERSION)" || { echo "Spillway needs Python 3.11 or newer as python3, or say which: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Spillway needs Python 3.11 or newer; $(PYTHON) is $(PYTHON_VERSION)" >&2; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || \
		{ echo "$(PYTHON) has no venv or ensurepip; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
endef

$(VENV_STAMP): requirements/dev.txt
	$(NEED_PYTHON)
	@echo "Creating .venv (Python $(PYTHON_VERSION))"
	@"$(PYTHON)" -m venv --clear .venv
	@$(PY) $(PIP_INSTALL) --require-hashes -r requirements/dev.txt
	@touch $@

# The command `spillway`, and the packages importable from any folder; their libraries are there already.
$(PROJECT_STAMP): $(VENV_STAMP) pyproject.toml
	@$(PY) $(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV_AWS_STAMP): requirements/local-aws.txt
	$(NEED_PYTHON)
	@echo "Creating .venv-aws (the embedded AWS)"
	@"$(PYTHON)" -m venv --clear .venv-aws
	@$(PY_AWS) $(PIP_INSTALL) --require-hashes -r requirements/local-aws.txt
	@touch $@

$(VENV_BENCH_STAMP): requirements/bench.txt
	$(NEED_PYTHON)
	@echo "Creating .venv-bench (Lambda's runtime client, and the peers of the bench)"
	@"$(PYTHON)" -m venv --clear .venv-bench
	@.venv-bench/bin/python $(PIP_INSTALL) --require-hashes -r requirements/bench.txt
	@touch $@

# What osls runs on; package.json says it to npm.
NODE_VERSIONS := Node 20.19, 22.13, 24 or newer of these
NODE_FITS := const [major, minor] = process.versions.node.split(".").map(Number); \
	process.exit(+!(major >= 24 || (major === 22 && minor >= 13) || (major === 20 && minor >= 19)))

# No package of ours needs an install script, so none may run.
$(NODE_STAMP): package.json package-lock.json
	@command -v node >/dev/null || { echo "Spillway deploys with $(NODE_VERSIONS); there is no node on the PATH" >&2; exit 1; }
	@node -e '$(NODE_FITS)' || \
		{ echo "Spillway deploys with $(NODE_VERSIONS); this is $$(node --version)" >&2; exit 1; }
	@command -v npm >/dev/null || { echo "Spillway installs its deploy tool with npm; there is no npm on the PATH" >&2; exit 1; }
	@echo "Installing node_modules (the Serverless Framework)"
	@npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
