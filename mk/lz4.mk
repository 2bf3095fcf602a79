# The ClickHouse protocol compresses with lz4.
LIBS += -llz4
