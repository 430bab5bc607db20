# Each target that a person calls has its line of help after "##"; `make` alone prints them.
# Targets do their own set-up: the virtual environment, the packages and, for tests, the
# servers. Packages are installed again only when pyproject.toml has changed.

PYTHON ?= python3
PYTHON313 ?= /usr/bin/python3.13
# Tests of pools and servers wait most of the time, so three of them share a core.
JOBS ?= $(shell echo $$((3 * $$(nproc))))
# A quick run of some benchmarks: make bench ROUNDS=1 SCALE=0.2 ONLY=drain-redis,idle
ROUNDS ?= 3
SCALE ?= 1
ONLY ?=
OUT ?=

# To repeat a run of the chaos suite: make chaos SEED=7 SECONDS=60 ENGINES=redis,mysql
SECONDS ?= 180
ENGINES ?= sqlite,redis,valkey,mariadb,postgresql,standby,sentinel,cluster
SEED ?=

VENV := .venv
VENV313 := .venv313
BIN := $(VENV)/bin
PYTEST_PARALLEL = -n $(JOBS) --dist worksteal

# Debian installs mariadbd into sbin, which is not on a user's PATH.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test unit contract process py313 boot chaos check format build bench screenshot clean \
  servers compiled rewritten mysql

help: ## print this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.runtime ## see poolq in action: a pool of 4 runs real jobs on SQLite, in a minute
	@$(BIN)/poolq demo

test: compiled rewritten servers $(VENV313)/.dev ## run all tests, on Redis, Valkey, MariaDB, PostgreSQL and SQLite (6 minutes on 2 cores)
	$(BIN)/pytest $(PYTEST_PARALLEL) tests

# Unit tests keep the processor busy, so each has a core of its own. They start quickly only where
# Python may keep their bytecode.
unit: JOBS = $(shell nproc)
unit: export PYTHONDONTWRITEBYTECODE =
unit: $(VENV)/.dev ## run the unit tests, which need no server (half a minute)
	$(BIN)/pytest $(PYTEST_PARALLEL) tests/unit

contract: compiled servers ## run the suite that every engine with storage must pass
	$(BIN)/pytest $(PYTEST_PARALLEL) tests/contract

process: compiled servers $(VENV313)/.dev ## run the tests that start real pools and kill them
	$(BIN)/pytest $(PYTEST_PARALLEL) tests/process

py313: $(VENV313)/.dev servers ## run the unit and contract suites on Debian's Python 3.13
	$(VENV313)/bin/pytest $(PYTEST_PARALLEL) tests/unit tests/contract

# A clock that has just begun, as that of a container or machine on which poolq is tried first. Needs a
# kernel with time namespaces, and root; elsewhere the suites run with the machine's clock.
boot: $(VENV313)/.dev servers ## run what py313 runs, with a clock that has just begun
	@up=$$(cut -d. -f1 /proc/uptime); \
	just_booted="unshare --time --monotonic=-$$up --boottime=-$$up --fork"; \
	$$just_booted true 2>/dev/null || { \
	  just_booted=; echo "no time namespace is permitted here: the clock is the machine's" >&2; }; \
	set -x; $$just_booted $(VENV313)/bin/pytest $(PYTEST_PARALLEL) tests/unit tests/contract

mysql: compiled servers build/mysql/mysqld ## run MariaDB's tests on MySQL from Debian's unstable release
	$(BIN)/pytest $(PYTEST_PARALLEL) --mysql -k "mariadb or mysql" tests/contract tests/process

check: $(VENV)/.dev ## check lint rules, formatting, types and layers; changes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## format the code and apply the linter's fixes
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

# Without isolation: .[dev] has what the build needs, so it works offline.
build: $(VENV)/.dev ## build the sdist and the wheel into dist/
	$(BIN)/python -m build --no-isolation

chaos: compiled servers $(if $(findstring mysql,$(ENGINES)),build/mysql/mysqld) ## break everything and count the jobs; writes docs/guarantees.md (20 minutes)
	$(BIN)/python -m tests.chaos.main --seconds=$(SECONDS) --engines=$(ENGINES) \
	  $(if $(SEED),--seed=$(SEED))

bench: $(VENV)/.dev servers ## measure poolq and its peers; writes docs/benchmarks.md
	@$(MAKE) --no-print-directory $(VENV313)/bin/python \
	  || echo "continuing without the peer that needs $(PYTHON313)" >&2
	PYTHON313=$(PYTHON313) $(BIN)/python -m benchmarks --rounds=$(ROUNDS) --scale=$(SCALE) --only=$(ONLY) \
	  $(if $(OUT),--out=$(OUT))

screenshot: $(VENV)/.runtime ## draw the pictures of the dashboard in docs/, from a pool in trouble (1 minute)
	$(BIN)/python -m docs.screenshot

# Where Python may not write bytecode (PYTHONDONTWRITEBYTECODE is set in many containers), poolq
# would be compiled again each time a test starts it, a thousand times in all.
compiled: $(VENV)/.dev
	@$(BIN)/python -m compileall -q poolq

# In a fresh checkout each process of pytest would rewrite and compile all tests for itself, which
# takes ten seconds of CPU. The run itself reports errors.
rewritten: $(VENV)/.dev
	@[ -d tests/typing/__pycache__ ] || { \
	  $(BIN)/pytest -qq --collect-only tests/unit tests/docs >/dev/null 2>&1 & \
	  $(BIN)/pytest -qq --collect-only $(addprefix tests/,chaos contract process typing) >/dev/null 2>&1; \
	  wait; }

servers: ## install what the tests need and the machine lacks: servers, supervisor, systemd, tmux, Prometheus
	@set -e; missing=; \
	command -v redis-server >/dev/null || missing="$$missing redis-server"; \
	command -v valkey-server >/dev/null || missing="$$missing valkey-server"; \
	command -v mariadbd >/dev/null && command -v mariadb-install-db >/dev/null \
	  || missing="$$missing mariadb-server"; \
	ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$$missing postgresql"; \
	command -v pgbouncer >/dev/null || missing="$$missing pgbouncer"; \
	command -v supervisord >/dev/null || missing="$$missing supervisor"; \
	command -v systemd-analyze >/dev/null || missing="$$missing systemd"; \
	command -v tmux >/dev/null || missing="$$missing tmux"; \
	command -v prometheus >/dev/null || missing="$$missing prometheus"; \
	ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 \
	  || missing="$$missing libfaketime"; \
	[ -z "$$missing" ] || { $(call apt_install,$$missing,the tests need); }

clean: ## remove the virtual environments, caches and builds
	rm -rf $(VENV) $(VENV313) .venvs-bench build dist .pytest_cache .mypy_cache .ruff_cache \
	  .import_linter_cache .hypothesis
	find poolq tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# Set-up

build/mysql/mysqld: | $(VENV)/.dev
	$(BIN)/python -m tests.support.mysql

$(VENV)/bin/python:
	@$(call make_venv,$(PYTHON),$(VENV))

$(VENV313)/bin/python:
	@$(call make_venv,$(PYTHON313),$(VENV313))

$(VENV)/.runtime: pyproject.toml | $(VENV)/bin/python
	@$(call pip_install,$(VENV),.)

%/.dev: pyproject.toml | %/bin/python
	@$(call pip_install,$*,.[dev])

# $(call pip_install,venv,what): quiet, since pip reports errors all the same.
define pip_install
echo "installing $(2) into $(1)"; \
$(1)/bin/python -m pip install --quiet --editable '$(2)' && touch $@
endef

# $(call make_venv,python,venv): installs Python and its venv module where Debian lacks them.
define make_venv
set -e; \
command -v $(1) >/dev/null || { $(call apt_install,$(notdir $(1)),poolq needs); }; \
$(1) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
  echo "poolq needs Python 3.11 or newer, $(1) is $$($(1) -V 2>&1);" \
    "name another one: make PYTHON=/path/to/python" >&2; exit 1; }; \
version=$$($(1) -c 'import sys; print("python%d.%d" % sys.version_info[:2])'); \
$(1) -c 'import ensurepip, venv' 2>/dev/null \
  || { $(call apt_install,$$version-venv,a virtual environment needs); }; \
echo "making $(2) with $$($(1) -V)"; \
$(1) -m venv --clear $(2)
endef

# $(call apt_install,packages,who needs them): no package starts its service, because the tests
# start their own servers. apt's exit code is ignored: a service that cannot be started makes it fail.
define apt_install
need=$$(echo $(1)); \
by_hand="$(2) $$need; as root on Debian: apt-get install $$need; then run make again"; \
if [ "$$(id -u)" = 0 ]; then as_root=; else as_root=sudo; fi; \
for tool in apt-get dpkg $$as_root; do \
  command -v $$tool >/dev/null || { echo "$$by_hand" >&2; exit 1; }; \
done; \
echo "installing $$need"; \
$$as_root apt-get update -qq || true; \
policy=/usr/sbin/policy-rc.d; \
[ -e $$policy ] || { \
  trap "$$as_root rm -f $$policy" EXIT; trap 'exit 1' HUP INT TERM; \
  printf '#!/bin/sh\nexit 101\n' | $$as_root tee $$policy >/dev/null; $$as_root chmod +x $$policy; \
}; \
$$as_root env DEBIAN_FRONTEND=noninteractive \
  apt-get install -qq -y --no-install-recommends $$need </dev/null >/dev/null || true; \
dpkg -s $$need >/dev/null 2>&1 || { echo "apt could not install them: $$by_hand" >&2; exit 1; }
endef
