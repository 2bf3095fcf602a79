deps: ## install what the build and the tests need (Debian, npm and Python packages)
	@scripts/deps

deps-pages: ## the same, and a browser for the tests of the pages
	@scripts/deps --pages

deps-check: ## the same as deps, and clang, clang-format and valgrind
	@scripts/deps --check

# What the program embeds comes from npm: a build in a fresh clone fetches it by itself.
node_modules/echarts/dist/echarts.min.js node_modules/@fontsource/be-vietnam-pro/files:
	@scripts/deps

# RocksDB's C interface does not tell its version.
$(OUT)/cli/version.o: CFLAGS += -DROCKSDB_VERSION='"$(shell pkg-config --modversion rocksdb 2>/dev/null)"'

.PHONY: deps deps-pages deps-check
