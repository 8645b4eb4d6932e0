# Every target does its own set-up on a machine with Python 3.11 or newer, git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
PARALLEL := -n auto --dist worksteal
N ?= 2000

.PHONY: help demo test test-all page-test run lint setup tools coverage soak simulate bench bench-short profile audit \
        image image-test docker-run manifests api-tools k8s-test lock clean

help:
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | awk -F '|' '{printf "  %-12s  %s\n", $$1, $$2}'

$(VENV)/.ready: requirements/dev.lock requirements/agent.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) tools/make_environment.py $(VENV) requirements/dev.lock
	@echo "$(CURDIR)" > $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/claude-code-wrapper.pth
	@touch $@

setup: $(VENV)/.ready ## install what the project needs into .venv

demo: setup ## the whole job, with a scripted claude, in half a minute and without a key
	@$(BIN)/python -m agent demo

test: setup ## the fast tests, on all cores, in under two minutes; what a test lacks is named and skipped
	$(PYTEST) --lane fast $(PARALLEL) $(TEST_FLAGS)

test-all: setup tools ## the fast tests, whole runs, the real claude CLI and the slower ones: a quarter of an hour
	$(PYTEST) --lane fast --lane system --lane cli --lane slow $(PARALLEL) $(TEST_FLAGS)

page-test: setup ## the hub's page in Chromium (apt-get install chromium); screenshots in build/screenshots
	$(PYTEST) --lane page $(TEST_FLAGS)

run: setup ## the job that your own variables (or .env) describe
	@$(BIN)/python -m agent run

tools: setup ## the real claude CLI, the ws package and axe-core, for the tests that want them
	$(BIN)/python tools/install_claude.py
	$(BIN)/python tools/install_ws.py
	$(BIN)/python tools/install_axe.py

lint: setup ## ruff and mypy
	$(BIN)/ruff format --check agent tests tools benchmarks
	$(BIN)/ruff check agent tests tools benchmarks
	$(BIN)/mypy

soak: setup tools ## everything too long for CI, then simulated runs until ctrl-C (SOAK_SECONDS=3600)
	$(PYTEST) --lane soak --lane slow -o faulthandler_timeout=1200
	$(BIN)/python -m tests.simulation --soak

simulate: setup ## N=10000 simulated runs
	$(BIN)/python -m tests.simulation $(N)

bench: setup ## the benchmarks against their peers
	$(BIN)/python -m benchmarks

bench-short: setup ## under a minute; fails only when a line is lost, doubled, reordered or changed
	$(BIN)/python -m benchmarks --short

profile: setup ## where the time of a run goes
	$(BIN)/python -m benchmarks.profile

image: ## build the image claude-code-wrapper; starts an engine where none answers (Debian, root)
	@eval "$$(tools/container_engine.sh)" && "$$DOCKER" build --tag claude-code-wrapper .

image-test: setup image ## run the image: flags, health, stops, out of memory, isolation, the real CLI
	@eval "$$(tools/container_engine.sh)" && export DOCKER && $(PYTEST) --lane docker --durations=10

docker-run: image ## the job that .env describes, in a hardened container
	@test -f .env || { echo "docker-run: write REPO_URL, TASK, WS_SERVER and ANTHROPIC_API_KEY into .env" >&2; exit 78; }
	@eval "$$(tools/container_engine.sh)" && "$$DOCKER" run --rm --env-file .env --read-only --tmpfs /tmp:exec --cap-drop ALL \
	  --security-opt no-new-privileges --pids-limit 512 --memory 2g --add-host host.docker.internal:host-gateway \
	  --volume /home/claude --volume claude-code-wrapper-journal:/journal claude-code-wrapper

manifests: setup ## what checks deploy/kubernetes against the schemas of Kubernetes
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/manifests.lock

api-tools: ## schemathesis, for the test of the hub's API
	@test -x .tools/api/bin/python || $(PYTHON) -m venv .tools/api
	.tools/api/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/api.lock

k8s-test: manifests image ## the Job on a node: KUBECTL='kubectl ...', LOAD='command that takes an image archive'
	@test -n "$(KUBECTL)" -a -n "$(LOAD)" || { echo "k8s-test: set KUBECTL and LOAD; see tests/system/test_kubernetes.py" >&2; exit 64; }
	@eval "$$(tools/container_engine.sh)" && export DOCKER KUBECTL="$(KUBECTL)" LOAD="$(LOAD)" && $(PYTEST) --lane soak tests/system/test_kubernetes.py

audit: setup ## known vulnerabilities of the pinned dependencies (needs the network)
	@test -x .tools/audit/bin/python || $(PYTHON) -m venv .tools/audit
	.tools/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	.tools/audit/bin/python -m pip_audit --strict --require-hashes --disable-pip -r requirements/agent.lock

lock: setup ## pin the dependencies anew, with hashes
	$(BIN)/python -m pip install --quiet pip-tools
	$(BIN)/pip-compile -q --upgrade --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header --extra hub -o requirements/agent.lock pyproject.toml
	$(BIN)/pip-compile -q --upgrade --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header --extra hub -o requirements/dev.lock pyproject.toml requirements/dev.in
	$(BIN)/pip-compile -q --upgrade --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header -o requirements/manifests.lock requirements/manifests.in
	$(BIN)/pip-compile -q --upgrade --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header -o requirements/api.lock requirements/api.in

clean: ## remove what the targets made
	rm -rf $(VENV) .tools .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage* build dist
