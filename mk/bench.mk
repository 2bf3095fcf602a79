# Measuring programs of bench/ that are linked with the library; bench/run builds them.
$(OUT)/bench/%: bench/%.c $(LIBRARY)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $< $(LIBRARY) $(LIBS)

keyed-merge: $(OUT)/bench/keyed_merge ## build the measure of merges into large tables

-include $(OUT)/bench/keyed_merge.d
.PHONY: keyed-merge
