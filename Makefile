# Every target sets itself up: it makes .venv and installs the pinned versions when they changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MEMBERS := shared/contracts shared/chassis shared/archive shared/projections services/gateway services/auth \
           services/quota services/projector services/archiver deploy/provision deploy/embedded
INSTALLED := $(VENV)/.installed

.PHONY: up test check bench faults tls alerts images secrets compose containers manifests specification constraints clean

up: $(INSTALLED)
	@exec $(BIN)/wepeople up $(ARGS)

test: $(INSTALLED)
	$(BIN)/pytest -m "not slow and not containers and not tls" -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(wildcard $(addsuffix /wepeople_*,$(MEMBERS))) deploy/kubernetes tests bench examples
	$(BIN)/lint-imports

bench: $(INSTALLED)
	$(BIN)/python -m bench $(ARGS)

faults: $(INSTALLED)
	$(BIN)/pytest -m slow $(ARGS)

# Postgres by `sslmode=verify-full`: needs a Postgres with TLS (Debian: `apt-get install --no-install-recommends postgresql`).
tls: $(INSTALLED)
	$(BIN)/pytest -m tls tests/tls $(ARGS)

# The alerts' own tests. promtool comes with Prometheus (Debian: `apt-get install --no-install-recommends prometheus`).
alerts:
	promtool check config deploy/observe/prometheus.yml
	promtool test rules deploy/observe/alerts_test.yml

# From here to `containers`: what needs Docker; only `containers` itself needs Python too.
COMPOSE := docker compose --file deploy/compose/compose.yaml
SECRETS := deploy/compose/secrets

images:
	WEPEOPLE_REVISION=$$(git rev-parse HEAD) $(COMPOSE) --file deploy/compose/compose.archive.yaml build --quiet

# Again it keeps what is there and adds what is missing.
secrets:
	@mkdir -p -m 0700 $(SECRETS)
	docker run --rm --user "$$(id -u):$$(id -g)" --volume "$(CURDIR)/$(SECRETS):/secrets" \
	  wepeople/provision:$${WEPEOPLE_VERSION:-dev} secrets generate /secrets --for-containers

compose: images secrets
	$(COMPOSE) up --wait $(ARGS)

containers: $(INSTALLED) images
	$(BIN)/pytest -m containers tests/containers $(ARGS)

$(INSTALLED): constraints.txt pyproject.toml $(addsuffix /pyproject.toml,$(MEMBERS))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "WePeople Ingest needs Python 3.11 or newer; this is $$($(PYTHON) -V). Try: make PYTHON=python3.12" >&2; exit 1; }
	@echo "Installing the pinned packages into $(VENV) (about half a minute, once) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt pip hatchling editables
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation -c constraints.txt \
	  --group dev $(addprefix -e ,$(MEMBERS))
	@touch $@

# What Kubernetes gets: rendered by kustomize, kubectl or Go, then checked by strict schemas and rules of our own (they are
# in `make test` too) and by checkov, which wants other versions of packages and so has a place of its own.
CHECKOV := $(VENV)/checkov
manifests: $(INSTALLED) $(CHECKOV)/bin/checkov
	$(BIN)/python -m deploy.kubernetes.render
	$(BIN)/pytest tests/unit/test_manifests_*.py
	$(CHECKOV)/bin/checkov --config-file deploy/kubernetes/checkov.yaml --directory deploy/kubernetes/rendered

$(CHECKOV)/bin/checkov:
	@echo "Installing checkov into $(CHECKOV) (about a minute, once) ..."
	@$(PYTHON) -m venv $(CHECKOV)
	@$(CHECKOV)/bin/python -m pip install --quiet --disable-pip-version-check checkov==3.3.30

# The documents that are made from the contract's types and the settings' classes; tests/contract says when they are stale.
specification: $(INSTALLED)
	$(BIN)/python -m wepeople_gateway.specification openapi > docs/openapi.yaml
	$(BIN)/python -m wepeople_gateway.specification asyncapi > docs/asyncapi.yaml
	$(BIN)/python -m wepeople_chassis.configuration > docs/configuration.md

# Takes the newest version of everything and pins it: names and versions, no addresses. Run it by the oldest Python that
# we support: some packages want 3.11.5, and Debian 12 has 3.11.2.
constraints: clean
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip hatchling editables
	$(BIN)/python -m pip install --quiet --no-build-isolation --group dev $(addprefix -e ,$(MEMBERS))
	$(BIN)/python -m pip freeze --all --exclude-editable > constraints.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
