# Every target sets itself up: it makes .venv and installs the pinned versions when they changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MEMBERS := shared/contracts shared/chassis shared/projections services/gateway services/auth services/quota \
           services/projector deploy/provision deploy/embedded
INSTALLED := $(VENV)/.installed

.PHONY: up test check bench faults images secrets compose containers specification constraints clean

up: $(INSTALLED)
	@exec $(BIN)/wepeople up $(ARGS)

test: $(INSTALLED)
	$(BIN)/pytest -m "not slow and not containers" -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(wildcard $(addsuffix /wepeople_*,$(MEMBERS))) tests bench examples
	$(BIN)/lint-imports

bench: $(INSTALLED)
	$(BIN)/python -m bench $(ARGS)

faults: $(INSTALLED)
	$(BIN)/pytest -m slow $(ARGS)

# From here to `containers`: what needs Docker; only `containers` itself needs Python too.
COMPOSE := docker compose --file deploy/compose/compose.yaml
SECRETS := deploy/compose/secrets

images:
	WEPEOPLE_REVISION=$$(git rev-parse HEAD) $(COMPOSE) build --quiet $(ARGS)

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

# The documents that are made from the contract's types; tests/contract says when they are stale.
specification: $(INSTALLED)
	$(BIN)/python -m wepeople_gateway.specification openapi > docs/openapi.yaml
	$(BIN)/python -m wepeople_gateway.specification asyncapi > docs/asyncapi.yaml

# Takes the newest version of everything and pins it: names and versions, no addresses. Run it by the oldest Python that
# we support: some packages want 3.11.5, and Debian 12 has 3.11.2.
constraints: clean
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip hatchling editables
	$(BIN)/python -m pip install --quiet --no-build-isolation --group dev $(addprefix -e ,$(MEMBERS))
	$(BIN)/python -m pip freeze --all --exclude-editable > constraints.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
