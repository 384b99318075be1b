# Three commands matter to a newcomer: `make demo`, `make serve` and `make test`. All else is for who
# works here.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Nothing is compiled in advance, for most of what these packages have is never imported, and so what is
# imported has to be kept compiled, also where the surroundings say otherwise (images of containers do).
export PYTHONDONTWRITEBYTECODE :=
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
# What is pinned is installed without resolving what it depends on, which takes long; then
# what is missing, if the platform needs more than the lock has.
define INSTALL_PINNED
$(PIP_INSTALL) --no-deps --requirement $(1)
$(PIP_INSTALL) --requirement $(1)
endef

.DEFAULT_GOAL := help
.PHONY: help demo serve test lint types unit format lock clean

help: ## Say what there is
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

# Stamps, so that an environment is made once and made again when its pins change.
$(VENV)/.runtime: requirements/torch.txt requirements/runtime.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "modiste needs Python 3.11 or newer: make PYTHON=python3.12 …"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) 'setuptools>=77' wheel
	$(PIP_INSTALL) --requirement requirements/torch.txt
	$(call INSTALL_PINNED,requirements/runtime.txt)
	$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.runtime
	$(call INSTALL_PINNED,requirements/dev.txt)
	@touch $@

$(VENV)/.demo: requirements/demo.txt $(VENV)/.runtime
	$(PIP_INSTALL) --no-deps --requirement requirements/demo.txt
	@touch $@

demo: $(VENV)/.demo ## From nothing to recommendations one can look at (5 to 8 minutes)
	@test -d demo/shop || $(BIN)/modiste synth --scale demo --seed 1 --out demo/shop
	@$(BIN)/modiste run --data demo/shop --out demo/run --preset demo
	@echo 'On the week after the data, which the run has not seen:'
	@$(BIN)/modiste evaluate demo/run/submission.csv --data demo/run --purchases demo/shop/next_week.csv
	@echo 'Articles like the first one of the catalogue, by a small sentence model (all-MiniLM-L6-v2):'
	@$(BIN)/modiste similar --run demo/run "$$(sed -n 2p demo/shop/articles.csv | cut -d, -f1)" -k 5
	@echo 'Open demo/run/report.html and demo/run/catalogue_map.html in a browser.'

serve: demo ## From nothing to a page over the demo shop, at http://127.0.0.1:8000 (Ctrl-C ends it)
	@$(BIN)/modiste export demo/run --out demo/bundle --purchases demo/shop/next_week.csv
	@$(BIN)/modiste serve demo/bundle --events demo/events.sqlite

test: lint ## Lint, types and tests
	@$(MAKE) --no-print-directory --jobs 2 types unit

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.dev
	$(BIN)/mypy

# One thread a process: two processes whose threads wait for each other are slower than one. A file's
# tests share what is costly to make, so they are one process's.
unit: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations 25

format: $(VENV)/.dev ## Put the sources into the house's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: ## Pin the newest versions that pyproject.toml and dev.in allow
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet --requirement requirements/torch.txt
	build/lock/bin/python -m pip install --quiet .
	{ sed -n '/^#/p' requirements/runtime.txt; \
	  build/lock/bin/python -m pip freeze --exclude modiste --exclude torch; } > build/runtime.txt
	mv build/runtime.txt requirements/runtime.txt
	build/lock/bin/python -m pip install --quiet --requirement requirements/dev.in
	{ echo '# What `make test` needs, pinned, transitive packages included. Made with `make lock`.'; \
	  build/lock/bin/python -m pip freeze --all --exclude modiste --exclude torch --exclude pip; } \
	  > requirements/dev.txt
	rm -rf build

clean: ## Remove what can be made again
	rm -rf $(VENV) build demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
