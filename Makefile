# Millrace. `make help` lists the targets; `make demo` and `make test` do all set-up by themselves.
#
# MODE picks the build: release (default), asan (address and undefined behaviour), tsan.
# Objects of each mode live apart, so that changing it rebuilds nothing.

MODE    ?= release
CC      ?= gcc
OUT     := build/$(MODE)
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

PG_CFLAGS := $(shell pkg-config --cflags libpq 2>/dev/null)
LIBS      := -lpq -lrocksdb -lmicrohttpd -lcurl -lrdkafka -ljansson -lxxhash -lz -lzstd -llz4 -ldl -lpthread -lm

WARN    := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes \
           -Wvla -Wformat=2
CFLAGS  ?= -O2 -g
CFLAGS  += -std=c11 -D_GNU_SOURCE -DMILLRACE_VERSION='"$(VERSION)"' $(WARN) $(WERROR) -Isrc $(PG_CFLAGS) \
           -fstack-protector-strong -fPIE -MMD -MP
LDFLAGS += -pie -Wl,-z,relro,-z,now
ifeq ($(MODE),release)
CFLAGS  += -D_FORTIFY_SOURCE=2
endif
ifeq ($(MODE),asan)
CFLAGS  += -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
LDFLAGS += -fsanitize=address,undefined
endif
ifeq ($(MODE),tsan)
CFLAGS  += -fsanitize=thread
LDFLAGS += -fsanitize=thread
endif

SOURCES := $(shell find src -name '*.c' | sort)
OBJECTS := $(SOURCES:src/%.c=$(OUT)/%.o) $(OUT)/assets.o
MAIN    := $(OUT)/main.o
LIBRARY := $(filter-out $(MAIN),$(OBJECTS))

WEB_LIB := build/embed/web/lib/echarts.min.js
FONTS   := $(foreach s,latin latin-ext vietnamese,$(foreach w,400 500 600,build/embed/web/lib/be-vietnam-pro-$(s)-$(w).woff2))
ASSETS  := $(sort $(wildcard sql/*/*.sql clickhouse_init/*.sql web/*.html web/*.css web/*.js web/*.svg web/*.json debezium/*.json)) \
           $(WEB_LIB) $(FONTS)

UNIT_SOURCES := $(sort $(wildcard tests/unit/test_*.c))
UNIT_TESTS   := $(UNIT_SOURCES:tests/unit/%.c=$(OUT)/tests/%)

all: build/millrace

build/millrace: $(OUT)/millrace
	@ln -sf $(MODE)/millrace $@

$(OUT)/millrace: $(OBJECTS)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

$(OUT)/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -c -o $@ $<

$(OUT)/assets.c: scripts/embed $(ASSETS)
	@mkdir -p $(@D)
	scripts/embed $(ASSETS) > $@

$(OUT)/assets.o: $(OUT)/assets.c
	$(CC) $(CFLAGS) -c -o $@ $<

build/embed/web/lib/echarts.min.js: node_modules/echarts/dist/echarts.min.js
	@mkdir -p $(@D)
	cp $< $@

build/embed/web/lib/be-vietnam-pro-%.woff2: node_modules/@fontsource/be-vietnam-pro/files
	@mkdir -p $(@D)
	cp $</$(patsubst %,be-vietnam-pro-%-normal.woff2,$*) $@

$(OUT)/tests/%: tests/unit/%.c $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -Itests/unit $(LDFLAGS) -o $@ $< $(LIBRARY) -lcmocka $(LIBS)

include mk/*.mk

clean: ## remove what was built
	rm -rf build

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | column -t -s "$$(printf '\t')"

-include $(OBJECTS:.o=.d) $(UNIT_TESTS:=.d)
.PHONY: all clean help
.DELETE_ON_ERROR:
