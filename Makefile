# `make help` lists the targets. Everything is written inside this folder, and no target needs sudo.
#   PYTHON=python3.12   use this interpreter, in an environment of its own (.venv-3.12)
#   SET=newest          other versions, in an environment of their own: a name of a file in constraints/
#   ARGS="..."          is handed to the command of the target: make demo ARGS="--persona busy"

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
START := $(shell date +%s)

export UV_CACHE_DIR ?= $(CURDIR)/.cache/uv
export PIP_CACHE_DIR ?= $(CURDIR)/.cache/pip
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Where it is set, every worker and every program of the tests would compile all that it imports.
export PYTHONDONTWRITEBYTECODE :=

ifdef PYTHON
VENV := .venv-$(shell "$(PYTHON)" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
ifeq ($(VENV),.venv-)
$(error PYTHON=$(PYTHON) does not run)
endif
else
VENV := .venv
# The newest that runs: a name on the PATH may be a version manager's shim for a version that is not there.
PYTHON = $(shell for python in python3.13 python3.12 python3.11 python3; do \
    $$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
endif

# What the tests need, by set: the groups of pyproject.toml and the packages that they name.
GROUPS := test
PACKAGES := core langchain llamaindex crewai
PINS := constraints.txt
ifdef SET
VENV := $(VENV)-$(SET)
PINS := constraints/$(SET).txt
GROUPS := newest
PACKAGES := core langchain llamaindex
ifneq ($(filter lowest-%,$(SET)),)
GROUPS := core $(SET:lowest-%=%)
PACKAGES := $(GROUPS)
endif
endif

EDITABLE := $(foreach package,$(PACKAGES),--editable packages/patter-$(package))
# Variables, because a comma in the text of a call would end its argument.
DEMO := --editable 'packages/patter-core[cli,speech]'
TEST := $(EDITABLE) $(foreach group,$(GROUPS),--group $(group))
CHECK := $(EDITABLE) --group dev
METADATA := pyproject.toml $(PINS) $(wildcard packages/*/pyproject.toml)

# $(call timed,command): runs the command, says how long the target took, keeps the exit code.
timed = @code=0; $(1) || code=$$?; echo "make $@: $$(($$(date +%s) - $(START))) s" >&2; exit $$code

# $(call install,requirements): with uv where it installs, else with pip.
define install
@echo "make: installing into $(VENV)" >&2
@$(VENV)/bin/uv pip install --quiet --python $(VENV) --constraints $(PINS) --build-constraints constraints.txt $(1) || { \
    echo "make: uv could not install; trying pip" >&2; \
    $(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --upgrade pip && \
    $(VENV)/bin/python -m pip install --quiet --constraint $(PINS) $(1); }
@touch $@
endef

.PHONY: help demo test check bench clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 16

demo: $(VENV)/demo.stamp $(VENV)/flite.stamp  ## hear an agent make a phone call on this machine; no keys, no account
	$(call timed,$(VENV)/bin/patter demo $(ARGS))

test: $(VENV)/test.stamp $(VENV)/flite.stamp  ## run the tests
	$(call timed,$(VENV)/bin/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder $(ARGS))

check: $(VENV)/check.stamp  ## run the linters, the types, the floors and the sizes
	$(call timed,{ $(VENV)/bin/ruff check && $(VENV)/bin/ruff format --check && $(VENV)/bin/mypy \
	    && $(VENV)/bin/lint-imports && $(VENV)/bin/python scripts/check_sizes.py; })

bench: $(VENV)/test.stamp  ## run the benchmarks
	$(call timed,$(VENV)/bin/python -m benchmarks $(ARGS))

clean:  ## remove the environments and every cache
	rm -rf .venv .venv-* .cache .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/made.stamp:
	@if [ -z "$(PYTHON)" ]; then \
	    echo "make: needs Python 3.11 or newer with venv (Debian: apt-get install python3 python3-venv)" >&2; exit 1; fi
	@"$(PYTHON)" -m venv --clear $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt uv || echo "make: uv is not available; using pip" >&2
	@touch $@

$(VENV)/demo.stamp: $(VENV)/made.stamp $(METADATA)
	$(call install,$(DEMO))

$(VENV)/test.stamp: $(VENV)/made.stamp $(METADATA)
	$(call install,$(TEST))

$(VENV)/check.stamp: $(VENV)/made.stamp $(METADATA)
	$(call install,$(CHECK))

# Tried once per environment; without flite the demo speaks in data tones, and the tests of speech fail.
$(VENV)/flite.stamp: | $(VENV)/made.stamp
	@if ! command -v flite >/dev/null; then scripts/install_flite; fi
	@touch $@
