# SHA-256 for hash_columns: libcrypto, which libpq brings along anyway.
LIBS += -lcrypto
