# `make` alone explains itself. Every target prepares what it needs; nothing is installed outside
# this folder, except by `tools/system-packages` (see there).

.DEFAULT_GOAL := help
SHELL := /bin/sh
bin := .venv/bin

# Tests take about a quarter of an hour on two cores; a hanging one is interrupted so that pytest says which.
TEST_SECONDS ?= 1500
# Two tests for each core at a time: many of them wait for processes and disks.
TESTS_AT_ONCE ?= $(shell echo $$((2 * $$(nproc))))
# More pytest arguments, as in: make check ARGS='-k receipt'
ARGS ?=

# Arguments of the server of `make dev`.
DEV ?= --data deploymark-data-dev

.PHONY: help setup web page-types dev demo check test soak bench docs lock release-notes clean

help:
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Use

setup: ## prepare .venv (every other target does this by itself)
	@tools/bootstrap

web: setup ## build the web page, unless it is built; needs no Node.js on this machine
	@tools/web

demo: setup ## roll out a healthy and a failing release on this machine, for real; about a minute
	@tools/web --if-possible
	@$(bin)/deploymark demo --once

##@ Develop

dev: setup ## a server at port 8420, and its page at port 5173, reloading as web/ is changed
	@tools/web
	@$(bin)/deploymark up $(DEV) & server=$$!; \
		trap 'kill $$server' EXIT; tools/web dev


check: setup ## before each commit, under a minute: lint, types, layers, unit tests and rules
	@$(bin)/ruff check
	@$(bin)/ruff format --check --quiet
	@$(bin)/mypy
	@$(bin)/lint-imports --no-logo
	@$(bin)/shellcheck tools/uv tools/bootstrap tools/system-packages tools/web .ci/run examples/*/run \
		examples/*/*.sh deploy/step.sh deploy/github-action/*.sh deploy/snippets/*.sh \
		deploy/proxies/*.sh
	@$(bin)/pytest -q -n 2 tests/unit tests/rules $(ARGS)

test: setup ## every test, in about a quarter of an hour
	@tools/system-packages
	@tools/web --if-possible
	@timeout --foreground --signal=INT --kill-after=30 $(TEST_SECONDS) $(bin)/pytest -n $(TESTS_AT_ONCE) --dist worksteal $(ARGS)

soak: setup ## the tests that run for many minutes
	@tools/system-packages
	@tools/web --if-possible
	@$(bin)/pytest -m soak $(ARGS)

bench: setup ## every benchmark beside the bare limit of this machine; writes the docs' table
	@$(bin)/python benchmarks/run_all.py $(ARGS)

docs: setup ## write the generated pages, build the docs without a warning, run their examples
	@$(bin)/python tools/generated_pages.py
	@$(bin)/sphinx-build -q -W --keep-going -b html docs docs/_build/html
	@$(bin)/sphinx-build -q -W --keep-going -b doctest docs docs/_build/doctest
	@echo "docs/_build/html/index.html"

##@ Release

page-types: setup ## write the types of the page from the interface of the server
	@tools/web page-types

lock: ## take the newest dependencies that pyproject.toml allows into uv.lock
	@tools/uv lock --upgrade

release-notes: setup ## what CHANGELOG.md would say of the fragments in changes/
	@$(bin)/towncrier build --draft --version next

clean: ## remove what was built, .venv included; data directories stay
	@rm -rf web/node_modules src/deploymark/server/assets
	@rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .grimp_cache \
		.hypothesis docs/_build build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
