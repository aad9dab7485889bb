# The recipes of a developer's day; `make` prints them. GNU make 4.3, plain sh, any Python >= 3.11.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
STAMP := $(VENV)/.stamp
export PYTHON

.PHONY: help demo test hosts check lint types imports pure proto proto-release chaos bench lock clean

help: ## print this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | \
	  while IFS='|' read -r target text; do printf '%-22s %s\n' "$$target" "$$text"; done

$(STAMP): requirements.lock pyproject.toml .ci/bootstrap
	@.ci/bootstrap $(VENV)

demo: $(STAMP) ## a controller and five agents on this machine; ONCE=1 shows, checks and ends
	@$(PY) docs/demo/demo.py $(if $(ONCE),--once)

test: check ## check, then every test; as root once more as a plain user
	@.ci/test $(VENV)

hosts: $(STAMP) ## the agent under a real systemd and sysvinit: boots Debian hosts, as root
	@FLEET_TEST_HOSTS=1 $(PY) -m pytest -q tests/hosts

check: $(STAMP) ## lint, types, imports and pure tests: seconds
	@$(MAKE) --no-print-directory -j2 --output-sync=target lint types imports pure

lint: $(STAMP)
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet || { $(BIN)/ruff format --check; exit 1; }

types: $(STAMP)
	@$(BIN)/mypy agent controller cli proto tests $(patsubst %/,%,$(sort $(dir $(wildcard benchmarks/*.py docs/demo/*.py))))

imports: $(STAMP)
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

pure: $(STAMP)
	@$(PY) -m pytest -q -m pure

proto: $(STAMP) ## generate code from proto/fleet_api/v1/*.proto
	@$(PY) proto/wire_contract.py generate

proto-release: $(STAMP) ## make the wire of this checkout the one that must never break
	@$(PY) proto/wire_contract.py release

chaos: $(STAMP) ## kill the agent at random and see that nothing is lost; ARGS="--rounds 1000 --seed 7"
	@$(PY) tests/chaos/run.py $(ARGS)

bench: $(STAMP) ## measure, beside supervisord, and print ratios
	@$(PY) benchmarks/run.py $(ARGS)

lock: $(STAMP) ## resolve the dependencies anew into requirements.lock; ARGS=--upgrade for newer ones
	@mkdir -p build
	@$(PY) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["dev"], sep="\n")' > build/dev.in
	@CUSTOM_COMPILE_COMMAND="make lock" $(PY) -m piptools compile --quiet $(ARGS) --generate-hashes --allow-unsafe \
	  --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options \
	  --output-file requirements.lock pyproject.toml build/dev.in
	@! grep -nE '://|^-|^/| @ ' requirements.lock || { echo "requirements.lock names a place of this machine" >&2; exit 1; }

clean: ## remove caches and build products; the environment stays
	@rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
