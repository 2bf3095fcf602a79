/* A hash table from byte strings to pointers (open addressing, XXH3). Keys are copied; values are
 * the caller's. Zero-initialised is valid. Not thread-safe. */
#ifndef MILLRACE_BASE_MAP_H
#define MILLRACE_BASE_MAP_H

#include "base/mem.h"

struct map_entry {
    char *key; /* NULL: free place */
    size_t key_len;
    uint64_t hash;
    void *value;
};

struct map {
    struct map_entry *entries;
    size_t count, cap;
};

void map_free(struct map *m, void (*free_value)(void *));
/* The place of the key's value, NULL when absent. Valid until the next map_put. */
void **map_find(const struct map *m, struct slice key);
static inline void *map_get(const struct map *m, struct slice key)
{
    void **at = map_find(m, key);
    return at ? *at : NULL;
}
/* The place of the key's value, made (holding NULL) when absent. */
void **map_put(struct map *m, struct slice key);
/* Iterates: start with *at = 0; false at the end. Do not put while iterating. */
bool map_next(const struct map *m, size_t *at, struct slice *key, void **value);
void map_clear(struct map *m, void (*free_value)(void *));

#endif
