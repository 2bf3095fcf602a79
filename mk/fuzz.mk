# libFuzzer drivers of the parsers of bytes from outside; they need format/ and base/ only. Each runs for
# FUZZ_SECONDS with address and undefined behaviour sanitizers, from what earlier runs found on.
FUZZ_SECONDS ?= 20
FUZZ_FLAGS   := -O1 -g -std=c11 -D_GNU_SOURCE -DMILLRACE_VERSION='"fuzz"' $(WARN) -Isrc -fno-omit-frame-pointer \
                -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined
FUZZ_SOURCES := $(filter src/format/% src/base/%,$(SOURCES))
FUZZERS      := $(patsubst tests/fuzz/%.c,build/fuzz/%,$(sort $(wildcard tests/fuzz/*.c)))

build/fuzz/%: tests/fuzz/%.c $(FUZZ_SOURCES) $(wildcard src/format/*.h src/format/*/*.h src/base/*.h) build/release/assets.o
	@mkdir -p $(@D)
	clang $(FUZZ_FLAGS) -o $@ $< $(FUZZ_SOURCES) build/release/assets.o $(LIBS)

fuzz: deps-check $(FUZZERS) ## feed the parsers with random bytes, FUZZ_SECONDS each
	@for f in $(FUZZERS); do \
	    mkdir -p $$f.corpus; echo "$$(basename $$f), $(FUZZ_SECONDS) s"; \
	    $$f -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=2048 -artifact_prefix=$$f- $$f.corpus > $$f.log 2>&1 || \
	        { tail -40 $$f.log; exit 1; }; \
	    tail -1 $$f.log; \
	done

.PHONY: fuzz
