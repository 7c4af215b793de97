# Everything a newcomer does. `make help` lists it; PYTHON=python3.12 picks another Python.
PYTHON ?= python3
BIN := .venv/bin
# PyTorch's own index has the CPU build on every platform; the public one has CUDA's, several GB, on Linux.
# Emptied (TORCH_INDEX=), or out of reach, torch comes from wherever pip is set to look.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# What `make images` and `make docker-test` build: one algorithm, or all of them in one image.
ALGORITHM ?= all
DOCKER_BUILD := docker build --build-arg ALGORITHM=$(ALGORITHM)
BENCH ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format types bench images image-cpu image-gpu docker-test clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

setup: .venv/.complete ## the virtual environment .venv with everything that the other targets need

.venv/.complete: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("optml needs Python 3.11 or newer; this is %d.%d. Name another: make PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv .venv
ifneq ($(TORCH_INDEX),)
	$(BIN)/pip install --quiet --retries 0 --timeout 30 --no-deps -c constraints.txt --index-url $(TORCH_INDEX) torch \
	  || echo "torch is not to be had from $(TORCH_INDEX): taking it from pip's usual index"
endif
	$(BIN)/pip install --quiet -c constraints.txt -e '.[all,torch,plot,dev]'
	@touch $@

demo: setup ## train K-Means on real data, serve it over HTTP, predict, draw its centroids
	$(BIN)/python -m optml.local.commands.demo

test: setup ## the tests that need no Docker engine
	$(BIN)/pytest

lint: setup ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup ## mend what lint can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: setup ## mypy, strict
	$(BIN)/mypy

bench: setup ## speed and memory, ours and the peers'; BENCH="--help" for its options
	$(BIN)/pip install --quiet -c constraints.txt -e '.[bench]'
	$(BIN)/python -m benchmarks $(BENCH)

images: image-cpu image-gpu ## both images of ALGORITHM (default: all algorithms in one)

image-cpu: ## optml/ALGORITHM:cpu
	$(DOCKER_BUILD) --build-arg TORCH_INDEX=$(TORCH_INDEX) -f Dockerfile.cpu -t optml/$(ALGORITHM):cpu .

image-gpu: ## optml/ALGORITHM:gpu
	$(DOCKER_BUILD) -f Dockerfile.gpu -t optml/$(ALGORITHM):gpu .

docker-test: setup ## real builds, containers and AWS's SDKs in local mode; needs a Docker engine
	$(BIN)/pytest -m docker tests/docker

clean: ## everything that can be made again
	rm -rf .venv .venv-sdk2 .venv-sdk3 build dist out .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
