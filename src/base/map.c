#include "base/map.h"

#include <xxhash.h>

static struct map_entry *probe(const struct map *m, struct slice key, uint64_t hash)
{
    size_t mask = m->cap - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct map_entry *e = &m->entries[i];
        if (!e->key) return e;
        if (e->hash == hash && slice_equal((struct slice){e->key, e->key_len}, key)) return e;
    }
}

static void grow(struct map *m)
{
    struct map old = *m;
    m->cap = old.cap ? old.cap * 2 : 16;
    m->entries = mem_alloc(m->cap * sizeof *m->entries);
    for (size_t i = 0; i < old.cap; i++) {
        struct map_entry *e = &old.entries[i];
        if (e->key) *probe(m, (struct slice){e->key, e->key_len}, e->hash) = *e;
    }
    mem_free(old.entries);
}

void **map_find(const struct map *m, struct slice key)
{
    if (m->count == 0) return NULL;
    struct map_entry *e = probe(m, key, XXH3_64bits(key.data, key.len));
    return e->key ? &e->value : NULL;
}

void **map_put(struct map *m, struct slice key)
{
    if (m->count * 4 >= m->cap * 3) grow(m);
    uint64_t hash = XXH3_64bits(key.data, key.len);
    struct map_entry *e = probe(m, key, hash);
    if (!e->key) {
        *e = (struct map_entry){.key = mem_textn(key.data, key.len), .key_len = key.len, .hash = hash};
        m->count++;
    }
    return &e->value;
}

bool map_next(const struct map *m, size_t *at, struct slice *key, void **value)
{
    for (; *at < m->cap; (*at)++) {
        struct map_entry *e = &m->entries[*at];
        if (!e->key) continue;
        if (key) *key = (struct slice){e->key, e->key_len};
        if (value) *value = e->value;
        (*at)++;
        return true;
    }
    return false;
}

void map_clear(struct map *m, void (*free_value)(void *))
{
    for (size_t i = 0; i < m->cap; i++) {
        struct map_entry *e = &m->entries[i];
        if (!e->key) continue;
        if (free_value) free_value(e->value);
        mem_free(e->key);
        *e = (struct map_entry){0};
    }
    m->count = 0;
}

void map_free(struct map *m, void (*free_value)(void *))
{
    map_clear(m, free_value);
    mem_free(m->entries);
    *m = (struct map){0};
}
