# One entry point: `make` lists what there is. `make demo` and `make test` need nothing else first.

SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

ROOT := $(CURDIR)
CACHE := $(ROOT)/.cache
VENV := $(CACHE)/venv

# Everything that the tools keep lies under .cache, so that `make clean` removes it.
export PATH := $(VENV)/bin:$(PATH)
export PIP_CACHE_DIR := $(CACHE)/pip
export XDG_CACHE_HOME := $(CACHE)/xdg
export PYTHONPYCACHEPREFIX := $(CACHE)/pycache
# Where Python may not keep what it compiles, each start of ansible compiles the standard library, for most of its time.
export PYTHONDONTWRITEBYTECODE :=
export HYPOTHESIS_STORAGE_DIRECTORY := $(CACHE)/hypothesis
export ANSIBLE_HOME := $(CACHE)/ansible
export ANSIBLE_LOCAL_TEMP := $(CACHE)/ansible/tmp
export ANSIBLE_COLLECTIONS_PATH := $(CACHE)/collections
# An inventory that does not load must not look like a run with nothing to do.
export ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED := true

.PHONY: help venv demo test test-cluster scale report-test lint unit oldest-core sanity docs build molecule format lab-packages changelog lock clean

help:  ## list the targets
	@echo "nodetrust.harbor: make TARGET"
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1|\2/p' Makefile | awk -F'|' '{ printf "%-15s %s\n", $$1, $$2 }'

demo: lab-packages venv  ## watch the incident happen on real nodes, and the cure
	@tests/tools/with-lab sh -c 'tests/lab/images && tests/lab/lab tests/demo'

test: venv  ## all of the below, up to molecule, with the time that each step took
	@python tests/tools/run_steps.py 'lab-packages!' 'lint|unit|oldest-core' 'build|docs|report-test' 'molecule|sanity'

venv:  ## the tools, in a private virtual environment made from the hashed lock
	@tests/tools/make-venv
	@mkdir -p '$(CACHE)/collections/ansible_collections/nodetrust' '$(CACHE)/ansible/tmp'
	@ln -sfn ../../../.. '$(CACHE)/collections/ansible_collections/nodetrust/harbor'

lint: venv  ## format, ruff, mypy, yamllint, ansible-lint (production), changelog
	@tests/tools/lint

format: venv  ## put Python files into the form that lint asks for
	@ruff format .
	@ruff check --select I --fix .

unit: venv  ## unit tests
	@python -m pytest -o cache_dir=.cache/pytest tests/unit tests/cluster

report-test: venv  ## the report in a real browser, metrics, alert rules and dashboard by promtool
	@tests/tools/report-tools
	@PATH='$(CACHE)/tools:'"$$PATH" python -m pytest -o cache_dir=.cache/pytest tests/report

oldest-core: venv  ## unit tests of playbooks, role and plugins on the oldest ansible-core that is supported
	@tests/tools/oldest-core

sanity: venv  ## ansible-test sanity, in a copy outside the checkout
	@python tests/tools/sanity.py

docs: venv  ## documentation of every plugin and role: lint it, then render it
	@tests/tools/docs

build: venv  ## build the tarball, install it into an empty place and use it from there
	@tests/tools/build

molecule: lab-packages venv  ## every scenario on real nodes
	@tests/tools/with-lab tests/tools/molecule

test-cluster: venv  ## the same tests as against the lab's API server, against yours: KUBECONFIG=path make test-cluster
	@tests/tools/test-cluster

scale: venv  ## what thousands of nodes cost, as ratios; fails if it is too much (an hour; audit.py needs root)
	@python tests/scale/inventory.py
	@tests/tools/report-tools
	@python tests/scale/report.py
	@python tests/scale/audit.py

lab-packages:  ## the lab's system packages: names what is missing, then installs it (root, apt)
	@tests/tools/lab-packages

changelog: venv  ## CHANGELOG.md again from changelogs/changelog.yaml and the plugins that there are
	@antsibull-changelog generate --reload-plugins

lock:  ## requirements/dev.txt again from requirements/dev.in (needs uv)
	@tests/tools/lock

clean:  ## stop the lab, remove .cache and with it every cache, key and environment
	@if [ -x tests/lab/down ]; then tests/lab/down; fi
	@rm -rf .cache tests/output
