#include "check/compare.h"

#include "base/map.h"

#include <xxhash.h>

struct expected {
    XXH128_hash_t hash;
    bool seen;
};

struct compare {
    struct check_line *line;
    struct map rows; /* key -> struct expected */
};

struct compare *compare_new(struct check_line *line)
{
    struct compare *c = mem_alloc(sizeof *c);
    c->line = line;
    return c;
}

void check_line_key(struct check_line *line, struct slice key)
{
    if (line->key_count == CHECK_KEYS_MAX) return;
    char *text = mem_textn(key.data, key.len);
    for (size_t i = 0; i < key.len; i++)
        if ((unsigned char)text[i] < 0x20) text[i] = '|';
    line->keys[line->key_count++] = text;
}

void compare_expect(struct compare *c, struct slice key, struct slice row)
{
    void **at = map_put(&c->rows, key);
    if (!*at) *at = mem_alloc(sizeof(struct expected));
    struct expected *e = *at;
    e->hash = XXH3_128bits(row.data, row.len);
}

void compare_actual(struct compare *c, struct slice key, struct slice row)
{
    c->line->rows++;
    struct expected *e = map_get(&c->rows, key);
    if (!e || e->seen) {
        c->line->surplus++;
        check_line_key(c->line, key);
        return;
    }
    e->seen = true;
    if (XXH128_isEqual(e->hash, XXH3_128bits(row.data, row.len))) return;
    c->line->differing++;
    check_line_key(c->line, key);
}

void compare_finish(struct compare *c)
{
    size_t at = 0;
    struct slice key;
    void *value;
    while (map_next(&c->rows, &at, &key, &value)) {
        if (((struct expected *)value)->seen) continue;
        c->line->missing++;
        check_line_key(c->line, key);
    }
    map_free(&c->rows, mem_free);
    mem_free(c);
}
