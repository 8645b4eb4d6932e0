# Every target does its own set-up on a machine with Python 3.11 or newer, git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
PARALLEL := -n auto --dist worksteal
N ?= 2000

.PHONY: help demo test test-all page-test run claude lint setup tools coverage soak simulate bench bench-short profile audit \
        image image-arm64 image-test docker-run manifests api-tools k8s-test drift lock clean

help:
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | awk -F '|' '{printf "  %-12s  %s\n", $$1, $$2}'

define environment # LOCK: what it names, and the repository itself, in .venv
@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
@$(PYTHON) tools/make_environment.py $(VENV) $(1)
@echo "$(CURDIR)" > $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/claude-code-wrapper.pth
@touch $@
endef

# The first `make demo` shows something after a quarter of a minute: the agent needs half of what the tests need.
$(VENV)/.agent: requirements/agent.lock pyproject.toml
	$(call environment,requirements/agent.lock)

$(VENV)/.ready: requirements/dev.lock requirements/agent.lock pyproject.toml
	$(call environment,requirements/dev.lock)
	@touch $(VENV)/.agent

setup: $(VENV)/.ready ## install what the project needs into .venv

demo: $(VENV)/.agent ## three tasks side by side, with a recorded claude, in half a minute and without a key
	@$(BIN)/python -m agent demo

test: setup ## the fast tests, on all cores, in under two minutes; what a test lacks is named and skipped
	$(PYTEST) --lane fast $(PARALLEL) $(TEST_FLAGS)

test-all: setup tools ## the fast tests, whole runs, the real claude CLI and the slower ones: a quarter of an hour
	$(PYTEST) --lane fast --lane system --lane cli --lane slow $(PARALLEL) $(TEST_FLAGS)

page-test: setup ## the hub's page in Chromium (apt-get install chromium); screenshots in build/screenshots
	$(PYTEST) --lane page $(TEST_FLAGS)

run: $(VENV)/.agent ## the job that your own variables (or .env) describe; make itself exits 2, see README
	@PATH="$$PATH:$(CURDIR)/.tools/claude" env -u MAKELEVEL -u MAKEFLAGS -u MFLAGS $(BIN)/python -m agent run

claude: ## the claude CLI for `make run`, where there is none: the tested version, into .tools (needs npm)
	@$(PYTHON) tools/install_claude.py

tools: setup claude ## the real claude CLI, other people's WebSocket servers and axe-core, for the tests that want them
	$(BIN)/python tools/install_ws.py
	$(BIN)/python tools/install_servers.py
	$(BIN)/python tools/install_axe.py

lint: setup $(VENV)/.lint ## ruff and mypy; shellcheck, hadolint for Dockerfiles, zizmor for GitHub's workflows
	$(BIN)/ruff format --check agent tests tools benchmarks
	$(BIN)/ruff check agent tests tools benchmarks
	$(BIN)/mypy
	$(BIN)/shellcheck .ci/run healthcheck.sh tools/*.sh
	$(BIN)/hadolint Dockerfile deploy/derived/Dockerfile
	$(BIN)/zizmor --offline --quiet --persona=pedantic deploy/github-actions/claude.yml

$(VENV)/.lint: requirements/lint.lock $(VENV)/.ready
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

soak: setup tools ## everything too long for CI, then simulated runs until ctrl-C (SOAK_SECONDS=3600)
	$(PYTEST) --lane soak --lane slow -o faulthandler_timeout=1200
	$(BIN)/python -m tests.simulation --soak

simulate: setup ## N=10000 simulated runs
	$(BIN)/python -m tests.simulation $(N)

bench: setup ## the benchmarks against their peers
	$(BIN)/python -m benchmarks

bench-short: setup ## under a minute; fails only when a line is lost, doubled, reordered or changed
	$(BIN)/python -m benchmarks --short
	$(BIN)/python -m benchmarks.hub start --runs 500

profile: setup ## where the time of a run goes
	$(BIN)/python -m benchmarks.profile

image: ## build the image claude-code-wrapper (BASE_DIGEST=sha256:... pins its base); starts an engine (Debian, root)
	@eval "$$(tools/container_engine.sh)" && export DOCKER && \
	  "$$DOCKER" build --tag claude-code-wrapper $$($(PYTHON) tools/image_arguments.py $(BASE_DIGEST)) .

image-arm64: ## the same for arm64, as claude-code-wrapper:arm64 (needs docker's buildx and, elsewhere, QEMU's binfmt)
	docker buildx build --platform linux/arm64 --load --tag claude-code-wrapper:arm64 \
	  $$(DOCKER=false $(PYTHON) tools/image_arguments.py $(BASE_DIGEST)) .

image-test: setup image ## run the image: flags, health, stops, out of memory, isolation, the real CLI
	@eval "$$(tools/container_engine.sh)" && export DOCKER && $(PYTEST) --lane docker --durations=10 $(TEST_FLAGS)

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

drift: setup ## the newest claude CLI beside the pinned one: what differs, and the tests on both (DRIFT_FLAGS=--pin)
	$(BIN)/python tools/drift.py $(DRIFT_FLAGS)

audit: setup ## known vulnerabilities of the pinned dependencies (needs the network)
	@test -x .tools/audit/bin/python || $(PYTHON) -m venv .tools/audit
	.tools/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	.tools/audit/bin/python -m pip_audit --strict --require-hashes --disable-pip -r requirements/agent.lock

lock: setup ## pin the dependencies anew, with hashes (the claude CLI: tools/install_claude.py --lock VERSION)
	$(BIN)/python -m pip install --quiet pip-tools
	$(BIN)/python tools/lock.py --upgrade

clean: ## remove what the targets made
	rm -rf $(VENV) .tools .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage* build dist
