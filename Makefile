# make install, make demo, make test are the ones to know; tools/install.py does the work.
# PYTHON=/path/to/python3.11 chooses the interpreter.
BOOT := $(or $(PYTHON),$(shell for p in python3 python3.12 python3.11 python; do \
	$$p -c 0 2>/dev/null && echo $$p && break; done),$(error no Python runs here: install \
	Python 3.11 or 3.12, or say where it is with PYTHON=/path/to/python))
export PYTHON
BIN := .venv/bin
# PYTHONSAFEPATH below: the package is the installed one, also where a test starts another Python
SANITIZERS = $(foreach name,libasan.so libubsan.so libstdc++.so,$(shell $(CC) -print-file-name=$(name)))

.NOTPARALLEL:
.PHONY: install demo test suite lint test-latest sanitize bench clean

install:
	@$(BOOT) tools/install.py main

demo: install
	$(BIN)/lerobot-puffer demo --out runs/demo

# every part runs, also after one that fails; the whole suite comes last, so that its summary does
test: install
	@failed=; for part in lint sanitize test-latest suite; do \
		$(MAKE) --no-print-directory $$part || failed="$$failed $$part"; \
	done; test -z "$$failed" || { echo "failed:$$failed" >&2; exit 1; }

suite: install
	PYTHONSAFEPATH=1 $(BIN)/pytest -n auto

lint: install
	$(BIN)/ruff check
	PATH="$(BIN):$$PATH" $(BIN)/cython-lint csrc
	$(BIN)/mypy

# what needs neither pufferlib nor torch, on the newest numpy and gymnasium, from the wheel
test-latest:
	@$(BOOT) tools/install.py latest
	PYTHONSAFEPATH=1 .venv-latest/bin/pytest -n auto

# -s: pytest would swallow the report of a sanitizer that ends the process
sanitize:
	@$(BOOT) tools/install.py debug
	LD_PRELOAD="$(SANITIZERS)" ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc \
		PYTHONPATH=build/debug/lib PYTHONSAFEPATH=1 \
		.venv-latest/bin/pytest -n auto -s -m "not no_sanitizer"

bench: install
	$(BIN)/lerobot-puffer bench

clean:
	rm -rf .venv .venv-latest .cache build dist runs *.egg-info
	rm -f lerobot_puffer/*.so
