# Everything from a fresh clone with Python 3.11 or newer, make and a C++20 compiler:
#
#   make demo        train a small model (sets everything up first)
#   make test        the C++ tests and the quick Python suite
#   make test-full   the whole suite, in every mode of the engine
#   make test-oracle the comparisons with PyTorch and with published weights (installs them first)
#   make wheel       a wheel, and the quick suite on it where there is no compiler
#   make lint        formatting, style and types       make format   apply the formatting
#   make sanitize    the C++ tests under the address, undefined-behaviour and thread sanitizers
#   make cross       the C++ runtime for 64-bit ARM, tested under emulation
#   make windows     the C++ runtime for 64-bit Windows, tested under wine
#   make bench       the benchmarks                    make clean    remove what was built
#
# PYTHON=... and CXX=... choose the interpreter and the compiler.

MAKEFLAGS += --no-print-directory
SHELL := /bin/sh
ROOT := $(CURDIR)
VENV := $(ROOT)/.venv
BIN := $(VENV)/bin
BUILD := $(ROOT)/build/dev
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
PIP := $(BIN)/python -m pip -qq --retries 5 --disable-pip-version-check
CMAKE := $(BIN)/cmake
# Links the checkout into .venv: its name, version, commands and dependencies. The module itself is
# built by ninja, in place.
LINK := install --no-build-isolation --config-settings=wheel.cmake=false \
	--config-settings=editable.mode=inplace --editable
CPP_FILES := find core runtime include bindings tests examples benchmarks -name '*.cpp' -o -name '*.h' -o -name '*.hpp' -o -name '*.cu' 2>/dev/null
# pytest's own options, e.g. make test PYTEST="-k matmul"
PYTEST ?=
# Options of the benchmarks, e.g. make bench BENCH="--only products"
BENCH ?=

.DEFAULT_GOAL := help
.PHONY: help setup build demo test test-cpp test-py test-full test-oracle wheel lint format sanitize cross windows bench clean

help:
	@sed -n 's/^#   \(make .*\)/  \1/p' Makefile

# --- set-up ---------------------------------------------------------------------------------------
# The stamps hang on pyproject.toml, which lists what is installed.
$(VENV)/.created: | tools/prerequisites.sh
	@found=$$(tools/prerequisites.sh) || exit 1; \
	python=$$(echo "$$found" | sed -n 1p); \
	echo "== creating .venv with $$python"; \
	rm -rf $(BUILD) && "$$python" -m venv --clear $(VENV) && echo "$$found" > $(VENV)/toolchain
	@touch $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml
	@echo "== installing build and test tools into .venv"
	@$(PIP) install "scikit-build-core>=0.10" "nanobind>=2.4" "cmake>=3.26" "ninja>=1.11"
	@$(PIP) $(LINK) ".[test,train,viz]"
	@touch $@

$(VENV)/.lint: $(VENV)/.installed pyproject.toml
	@echo "== installing the linters into .venv"
	@$(PIP) $(LINK) ".[test,lint]"
	@touch $@

setup: $(VENV)/.installed

# --- build: ninja knows what changed --------------------------------------------------------------
$(BUILD)/build.ninja: $(VENV)/.installed
	@echo "== configuring in build/dev with $$(sed -n 2p $(VENV)/toolchain)"
	@mkdir -p $(BUILD)
	@$(CMAKE) -S . -B $(BUILD) -G Ninja \
		-DCMAKE_MAKE_PROGRAM=$(BIN)/ninja -DPython_EXECUTABLE=$(BIN)/python \
		-DCMAKE_CXX_COMPILER="$$(sed -n 2p $(VENV)/toolchain)" -DSENNIT_TESTS=ON \
		> $(BUILD)/configure.log 2>&1 || { cat $(BUILD)/configure.log; exit 1; }
	@touch $@

build: $(BUILD)/build.ninja
	@echo "== building (the first time takes minutes)"
	@$(CMAKE) --build $(BUILD) --parallel $(JOBS)
	@$(CMAKE) --install $(BUILD) --prefix $(ROOT) --component python > /dev/null

# --- use ------------------------------------------------------------------------------------------
demo: build
	@echo "== demo"
	@$(BIN)/python examples/demo.py

test: test-cpp test-py

test-cpp: build
	@echo "== C++ tests"
	@$(BIN)/ctest --test-dir $(BUILD) --output-on-failure --parallel $(JOBS)

test-py: build
	@echo "== Python tests (quick suite)"
	@$(BIN)/python -m pytest -q $(PYTEST)

# The same suite must pass op by op, on the serial engine, with one thread, and at lower
# instruction sets.
test-full: test-cpp
	@echo "== Python tests (full suite)"
	@$(BIN)/python -m pytest -q --full $(PYTEST)
	@for mode in SENNIT_WINDOW=1 SENNIT_ENGINE=serial SENNIT_NUM_THREADS=1 SENNIT_ISA=avx2 \
			SENNIT_ISA=v2 "SENNIT_WINDOW=1 SENNIT_ENGINE=serial"; do \
		echo "== Python tests with $$mode"; \
		env $$mode $(BIN)/python -m pytest -q $(PYTEST) || exit 1; \
	done

$(VENV)/.oracle: $(VENV)/.installed pyproject.toml
	@echo "== installing PyTorch and published weights into .venv"
	@$(PIP) $(LINK) ".[test,oracle]"
	@touch $@

test-oracle: build $(VENV)/.oracle
	@echo "== Python tests against PyTorch and published weights"
	@$(BIN)/python -m pytest -q -m oracle $(PYTEST)

wheel: $(VENV)/.installed
	@echo "== building a wheel in dist/"
	@$(PIP) $(LINK) ".[wheel]"
	@CXX="$$(sed -n 2p $(VENV)/toolchain)" $(BIN)/python tools/make_wheel.py $(PYTEST)

# All of them run, so that one run shows everything.
lint: $(VENV)/.lint
	@bad=; \
	echo "== ruff check";          $(BIN)/ruff check . || bad=1; \
	echo "== ruff format --check"; $(BIN)/ruff format --check . || bad=1; \
	echo "== clang-format";        $(CPP_FILES) | xargs $(BIN)/clang-format --dry-run -Werror --ferror-limit=1 || bad=1; \
	echo "== mypy --strict";       $(BIN)/mypy || bad=1; \
	[ -z "$$bad" ] || { echo "lint failed; make format repairs what is only formatting"; exit 1; }

format: $(VENV)/.lint
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .
	@$(CPP_FILES) | xargs $(BIN)/clang-format -i

# The thread sanitizer of GCC 12 cannot start where the kernel randomises addresses widely; setarch
# switches that off for the tests.
sanitize: $(VENV)/.installed
	@for which in address,undefined thread; do \
		dir=$(ROOT)/build/sanitize-$${which%%,*}; plain=; \
		[ $$which = address,undefined ] || ! setarch -R true 2>/dev/null || plain="setarch -R"; \
		echo "== C++ tests under $$which"; \
		mkdir -p $$dir; \
		$(CMAKE) -S . -B $$dir -G Ninja -DCMAKE_MAKE_PROGRAM=$(BIN)/ninja \
			-DCMAKE_CXX_COMPILER="$$(sed -n 2p $(VENV)/toolchain)" -DSENNIT_PYTHON=OFF \
			-DSENNIT_TESTS=ON -DSENNIT_SANITIZE=$$which \
			> $$dir/configure.log 2>&1 || { cat $$dir/configure.log; exit 1; }; \
		$(CMAKE) --build $$dir --parallel $(JOBS) || exit 1; \
		$$plain $(BIN)/ctest --test-dir $$dir --output-on-failure || exit 1; \
	done

cross: build
	@tools/cross.sh aarch64 $(CMAKE) $(BIN)/ninja $(JOBS)
	@$(BIN)/python -m pytest -q tests/runtime/test_cross.py -k aarch64

windows: build
	@tools/cross.sh windows $(CMAKE) $(BIN)/ninja $(JOBS)
	@$(BIN)/python -m pytest -q tests/runtime/test_cross.py -k windows

bench: build
	@$(BIN)/python -m benchmarks run $(BENCH)

clean:
	rm -rf build dist .venv sennit/_core*.so sennit/bin sennit/include sennit/lib \
		.pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
