# Everything that a newcomer or a CI machine runs. Needs Python 3.11 or newer with venv, and make.

PYTHON ?= python3
VENV ?= .venv
# Where torch comes from. Empty: pip's own index (on Linux that is the CUDA build). For the small CPU build:
# make TORCH_INDEX=https://download.pytorch.org/whl/cpu demo
TORCH_INDEX ?=
DEMO_OUT ?= out/demo
WORKBENCH_OUT ?= out/workbench
TOKENS_OUT ?= out/tokens
TALKS_OUT ?= out/talks
CHAT ?= http://localhost:8080
HUB_PORT ?= 8080
# Of pytest, for test-bare and test-programs.
OPTIONS ?=
# Many tests wait for a server or a clock, so there is one worker more than there are cores.
ifndef PYTEST_XDIST_AUTO_NUM_WORKERS
export PYTEST_XDIST_AUTO_NUM_WORKERS := $(shell $(PYTHON) -c "import os; print(os.cpu_count() + 1)")
endif

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo pages pictures workbench tokens converse hub proof test test-bare test-programs test-nightly test-mutants check audit format install clean

demo: install
	$(BIN)/dailytalk demo examples/conversations --out $(DEMO_OUT) --source-licence CC0-1.0
	$(BIN)/dailytalk check $(DEMO_OUT)-moshi
	$(BIN)/python benchmarks/real.py --built $(DEMO_OUT)

# The pages that are made of the commands, the stages and the table of fields; after it, git says what has changed.
pages: install
	$(BIN)/python benchmarks/options_page.py
	$(BIN)/python benchmarks/columns_page.py
	$(BIN)/python benchmarks/fields_page.py

# All pictures of docs, from the demo of today, and what they say, which a test compares with the pages.
pictures: demo
	$(BIN)/python docs/pictures.py $(DEMO_OUT) docs

# A reading by one speaker, cut, transcribed, and opened in the browser; serves until Ctrl-C.
workbench: install
	$(BIN)/dailytalk silences examples/readings
	$(BIN)/dailytalk split examples/readings --out $(WORKBENCH_OUT)
	$(BIN)/dailytalk transcribe $(WORKBENCH_OUT)/Usable --profile embedded --language en
	$(BIN)/dailytalk review $(WORKBENCH_OUT)/Usable

# Contours of the examples, a codebook of them (24 tokens, of which five minutes of speech hold enough), tokens, a tiny
# encoder, trained for two minutes on two cores, and its embeddings.
tokens: install
	$(BIN)/dailytalk tokens extract examples/conversations --out $(TOKENS_OUT)/contours --workers 2
	$(BIN)/dailytalk tokens cluster $(TOKENS_OUT)/contours --out $(TOKENS_OUT)/codebook --n-clusters 24
	$(BIN)/dailytalk tokens encode examples/conversations --out $(TOKENS_OUT)/tokens --prosodic-tokens $(TOKENS_OUT)/codebook --workers 2
	$(BIN)/dailytalk tokens train $(TOKENS_OUT)/tokens --out $(TOKENS_OUT)/encoder --size tiny --steps 800 \
		--batch 5 --valid-share 0.1
	$(BIN)/dailytalk tokens embed $(TOKENS_OUT)/tokens --encoder $(TOKENS_OUT)/encoder --out $(TOKENS_OUT)/embeddings

# A person of three turns, from files, talks in real time with a language model behind an address: transcript and
# emotions. Then the talk is checked, and exported for Moshi.
converse: install
	$(BIN)/dailytalk converse --chat $(CHAT) --out $(TALKS_OUT) $(foreach turn,$(sort $(wildcard \
		examples/spoken_user/*.flac)),--input $(turn))
	$(BIN)/dailytalk check $(TALKS_OUT)
	$(BIN)/dailytalk export $(TALKS_OUT) --format moshi --out $(TALKS_OUT)-moshi

# A Hub on this machine, to try publishing without an account. Prints what to export; serves until Ctrl-C.
hub: install
	@PYTHONPATH=tests $(BIN)/python -m hub.server --port $(HUB_PORT) --folder out/hub

# What a small model of turn-taking learns from calls as recorded, and from what resynthesis makes of them, judged on
# calls of other people: make proof CALLS="/path/to/calls" TEST="/path/to/others". Without CALLS, on talks of a known law.
proof: install
	$(BIN)/python benchmarks/proof.py $(CALLS) $(if $(TEST),--test $(TEST))

# All tests, or those of one room: make test ROOM=stages
test: install $(VENV)/.smart-turn
	$(BIN)/python -m pytest -n auto --dist worksteal $(addprefix tests/,$(ROOM))

# What somebody sees who has just cloned this: a PATH with Python and make alone.
test-bare: install $(VENV)/.smart-turn
	rm -rf out/bare && mkdir -p out/bare && ln -s "$$(command -v $(PYTHON))" "$$(command -v make)" out/bare/
	PATH="$(CURDIR)/out/bare" "$(abspath $(BIN))/python" -m pytest -n auto --dist worksteal $(OPTIONS)

# The tests to which a program (chromium, …) makes a difference.
test-programs: install $(VENV)/.smart-turn
	$(BIN)/python -m pytest -n auto --dist worksteal -m programs $(OPTIONS)

# All tests, those marked `nightly` too, and property tests with 500 examples each instead of 30.
test-nightly: install $(VENV)/.smart-turn
	HYPOTHESIS_PROFILE=nightly $(BIN)/python -m pytest -n auto --dist worksteal

# Which of some hundred small changes to the package, drawn by cosmic-ray, the tests notice.
test-mutants: install $(VENV)/.smart-turn
	$(BIN)/python benchmarks/mutants.py --cover
	$(BIN)/python benchmarks/mutants.py --room all --count 8

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy builder_scripts/*.py
	$(BIN)/python benchmarks/reading.py

# Which of the pinned versions have known holes. Asks the advisory database over the network, from an environment of
# its own, so that it judges what is pinned and not itself.
audit: $(VENV)/audit/.installed
	$(VENV)/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

$(VENV)/audit/.installed:
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/python -m pip --disable-pip-version-check install --quiet 'pip-audit>=2.10'
	@: > $@

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install: $(VENV)/.installed

# torch first and alone, so that the index chosen for it serves nothing else; then the rest, at pinned versions.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c '' || \
		{ echo "$(PYTHON) can't be started (its own message is above); name another: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one with make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "Python's venv module is incomplete here; on Debian or Ubuntu: apt install python3-venv"; exit 1; }
	@echo "making the environment $(VENV)"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing 1 of 2: torch (the largest part; minutes)"
	$(PIP) install --quiet --constraint constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	@echo "installing 2 of 2: the package and what it needs (minutes)"
	$(PIP) install --quiet --constraint constraints.txt --editable '.[augment,converse,denoise,dev,espeak,offline,review,tokens]'
	@# Weights alone, which are optional: nothing of the package is imported, so that it needs no others.
	$(PIP) install --quiet --no-deps resemblyzer==0.1.4 || echo "without Resemblyzer: voices are not compared"
	@: > $@

# Weights of Smart Turn for the tests of --turn-ends; nothing else of the package is used.
$(VENV)/.smart-turn: $(VENV)/.installed
	$(PIP) install --quiet --no-deps pipecat-ai==1.14.0 || echo "without Smart Turn: its tests are skipped"
	@: > $@

clean:
	rm -rf $(VENV) out
