CHECK_FLAGS := -std=c11 -D_GNU_SOURCE -DMILLRACE_VERSION=\"check\" $(WARN) -Werror -fsyntax-only -Isrc \
               -Itests/unit $(PG_CFLAGS)
COMPILERS   := $(foreach c,gcc clang,$(if $(shell command -v $(c)),$(c)))
HEADERS     := $(shell find src -name '*.h' | sort)

# In a make of its own, which sees the compilers that deps-check brings.
check: deps-check ## all static checks
	@$(MAKE) --no-print-directory check-warnings check-layers check-headers check-banned check-docs check-format

check-fast: check-layers check-banned check-docs

check-warnings: ## compile everything with each compiler; no warning allowed
	@mkdir -p build; printf '%s\n' '$(CHECK_FLAGS)' > build/check.flags
	@for cc in $(COMPILERS); do \
	    printf '%s\n' $(SOURCES) $(UNIT_SOURCES) $(wildcard tests/fuzz/*.c) | xargs -P 2 -n 8 $$cc @build/check.flags || exit 1; \
	    echo "warnings: none ($$cc)"; \
	done

check-headers: ## each header compiles alone
	@mkdir -p build; printf '%s\n' '$(CHECK_FLAGS)' > build/check.flags
	@for h in $(HEADERS); do \
	    echo "#include \"$${h#src/}\"" | $(CC) @build/check.flags -x c - || { echo "$$h does not compile alone" >&2; exit 1; }; \
	done; echo "headers: each compiles alone"

check-layers: ## includes go down only
	@scripts/check-layers

check-banned: ## calls that have a better one
	@scripts/check-banned

check-docs: all ## generated pages are current, links lead somewhere
	@scripts/check-docs

check-format: ## report what clang-format would change
	@scripts/check-format

docs: all ## write the generated pages again
	@build/millrace config --docs > docs/config.md
	@build/millrace help --docs > docs/cli.md

.PHONY: check check-fast check-warnings check-headers check-layers check-banned check-docs check-format docs
