#include "stages/recent.h"

#include <string.h>

void recent_init(struct recent *r, size_t size_bytes_max)
{
    *r = (struct recent){.size_bytes_max = size_bytes_max};
    pthread_mutex_init(&r->lock, NULL);
}

static void drop_file(struct recent *r, struct recent_file *file)
{
    r->size_bytes -= file->rows.cap;
    mem_free(file->path);
    buf_free(&file->rows);
}

void recent_free(struct recent *r)
{
    for (size_t i = 0; i < r->count; i++)
        drop_file(r, &r->items[i]);
    mem_free(r->items);
    pthread_mutex_destroy(&r->lock);
    *r = (struct recent){0};
}

bool recent_has_room(struct recent *r, size_t size_bytes)
{
    pthread_mutex_lock(&r->lock);
    bool room = r->size_bytes + size_bytes <= r->size_bytes_max;
    pthread_mutex_unlock(&r->lock);
    return room;
}

void recent_put(struct recent *r, int64_t version, const char *path, struct buf *rows)
{
    pthread_mutex_lock(&r->lock);
    if (r->size_bytes + rows->cap <= r->size_bytes_max) {
        MEM_GROW(r->items, r->count, r->cap);
        r->items[r->count++] = (struct recent_file){version, mem_text(path), *rows};
        r->size_bytes += rows->cap;
        *rows = (struct buf){0};
    }
    pthread_mutex_unlock(&r->lock);
    buf_free(rows);
}

struct slice recent_find(struct recent *r, const char *path)
{
    struct slice rows = {NULL, 0};
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < r->count && !rows.data; i++)
        if (strcmp(r->items[i].path, path) == 0) rows = buf_slice(&r->items[i].rows);
    pthread_mutex_unlock(&r->lock);
    return rows;
}

void recent_drop(struct recent *r, int64_t version)
{
    size_t kept = 0;
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < r->count; i++) {
        if (r->items[i].version <= version)
            drop_file(r, &r->items[i]);
        else
            r->items[kept++] = r->items[i];
    }
    r->count = kept;
    pthread_mutex_unlock(&r->lock);
}
