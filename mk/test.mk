# A test program declares by a line /* needs: engine */ (or by opening it) that it loads libchdb, which
# cannot live in a process with address or thread sanitizer; those go under valgrind.
ENGINE_SOURCES  := $(if $(UNIT_SOURCES),$(shell grep -lE 'needs: engine|engine_open\>|engine_lab.h' $(UNIT_SOURCES)))
PLAIN_SOURCES   := $(filter-out $(ENGINE_SOURCES),$(UNIT_SOURCES))
PLAIN_TESTS     := $(PLAIN_SOURCES:tests/unit/%.c=$(OUT)/tests/%)
VALGRIND_TESTS  := $(addprefix build/release/tests/,$(filter test_row test_engine test_views test_delta_parquet \
                     test_keyed,$(UNIT_SOURCES:tests/unit/%.c=%)))
UNIT_SECONDS    ?= 300
E2E_JOBS        ?= 2
VALGRIND        := valgrind --quiet --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
                   --error-exitcode=9 --fair-sched=yes --suppressions=$(CURDIR)/tests/valgrind.supp

unit: $(UNIT_TESTS) ## build and run the unit tests
	@scripts/unit --seconds $(UNIT_SECONDS) $(UNIT_TESTS)

unit-plain: $(PLAIN_TESTS)
	@scripts/unit --seconds $(UNIT_SECONDS) $(PLAIN_TESTS)

e2e: all ## run the end-to-end tests
	@.venv/bin/pytest -q -n $(E2E_JOBS) tests/e2e $(PYTEST_FLAGS)

# Steps in order, in one make each: what `deps` brings is seen by the next one.
test: ## everything: deps, build, checks, unit and end-to-end tests
	@$(MAKE) --no-print-directory deps
	@$(MAKE) --no-print-directory all
	@$(MAKE) --no-print-directory check-fast
	@$(MAKE) --no-print-directory unit
	@$(MAKE) --no-print-directory e2e

asan: ## unit tests that do not need the engine, with address and undefined behaviour sanitizers
	@ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1 \
	    $(MAKE) --no-print-directory MODE=asan unit-plain

tsan: ## the same, with the thread sanitizer
	@TSAN_OPTIONS="halt_on_error=1 suppressions=tests/tsan.supp" $(MAKE) --no-print-directory MODE=tsan unit-plain

valgrind: deps-check $(VALGRIND_TESTS) ## tests of the engine and of the lake's tables under valgrind
	@scripts/unit --seconds 3600 --prefix "$(VALGRIND)" $(VALGRIND_TESTS)

# Without tracking of undefined values: the engine's answers are full of what valgrind takes for them.
valgrind-flow: deps-check all ## a small flow from the first copy to an equal check, under valgrind
	@MILLRACE_TEST_UNDER="$(VALGRIND) --undef-value-errors=no" .venv/bin/pytest -q tests/e2e/test_check.py -k all_equal $(PYTEST_FLAGS)

demo: ## set up everything, build, and run the demo
	@$(MAKE) --no-print-directory deps
	@$(MAKE) --no-print-directory all
	@build/millrace demo

# The seed is printed first. The tests end by themselves after MILLRACE_KILL_SECONDS (three hours): a kill
# from outside would leave their servers behind.
torture: all ## kill at every point, refuse every write, a transaction of 2 GB; compare afterwards
	@MILLRACE_TORTURE=1 MILLRACE_KILLS=$${MILLRACE_KILLS:-500} .venv/bin/pytest -q -s tests/e2e -k kill $(PYTEST_FLAGS)
	@MILLRACE_TORTURE=1 MILLRACE_WRITES=$${MILLRACE_WRITES:-all} .venv/bin/pytest -q tests/e2e/test_writes.py $(PYTEST_FLAGS)
	@MILLRACE_TORTURE=1 MILLRACE_LAYERS='state gold silver' .venv/bin/pytest -q tests/e2e/test_retention.py \
	    tests/e2e/test_lake_faults.py $(PYTEST_FLAGS)
	@MILLRACE_LARGE_ROWS=$${MILLRACE_LARGE_ROWS:-2000000} .venv/bin/pytest -q tests/e2e/test_large.py $(PYTEST_FLAGS)

bench: all ## measure throughput and latency
	@if [ -x bench/run ]; then bench/run; else echo "bench/run is missing" >&2; exit 1; fi

.PHONY: unit unit-plain e2e test asan tsan valgrind valgrind-flow demo torture bench

# With a real Kafka and a real Kafka Connect; Java, Maven and the jars come with `scripts/stack install`.
cluster-deps:
	@$(MAKE) --no-print-directory deps
	@scripts/stack install
	@.venv/bin/pip install -q --disable-pip-version-check -r tests/cluster/requirements.txt

test-cluster: ## tests with a real Kafka and Debezium
	@$(MAKE) --no-print-directory cluster-deps
	@$(MAKE) --no-print-directory all
	@.venv/bin/pytest -q tests/cluster $(PYTEST_FLAGS)

torture-cluster: ## the same, and what takes long
	@MILLRACE_TORTURE=1 $(MAKE) --no-print-directory test-cluster

.PHONY: cluster-deps test-cluster torture-cluster
