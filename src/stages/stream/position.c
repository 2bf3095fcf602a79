#include "stages/stream/position.h"

#include "net/kafka.h"

#include <inttypes.h>
#include <jansson.h>

enum { WAIT_US = 30000000, BACK = 200, READ_MOST = 100000 };

char *stream_position_topic(const struct config *config)
{
    return mem_format("__millrace-position.%s", config->topic_prefix);
}

char *stream_position_key(const struct config *config)
{
    return mem_format("{\"slot\":\"%s\"}", config->slot); /* a slot's name needs no escapes */
}

char *stream_transactional_id(const struct config *config, int number)
{
    if (!config->stream_transactions) return NULL;
    if (number == 0) return mem_format("millrace-%s-%s", config->topic_prefix, config->slot);
    return mem_format("millrace-%s-%s-%d", config->topic_prefix, config->slot, number);
}

void stream_position_free(struct stream_position *p)
{
    copies_free(&p->copies);
    *p = (struct stream_position){0};
}

void stream_position_encode(const struct stream_position *p, struct buf *json)
{
    const struct copies *c = &p->copies;
    buf_printf(json, "{\"epoch\":%d,\"lsn\":%" PRIu64 ",\"previous_lsn\":%" PRIu64 ",\"next_copy_id\":%" PRId64
                     ",\"copy_complete\":%s,\"identity\":",
               (int)c->epoch, p->lsn, p->previous_lsn, c->next_copy_id, c->complete ? "true" : "false");
    if (c->identity)
        buf_put_json(json, slice_of(c->identity));
    else
        buf_put_text(json, "null");
    buf_put_text(json, ",\"copied\":[");
    for (size_t i = 0; i < c->count; i++) {
        if (i) buf_put_char(json, ',');
        buf_put_json(json, slice_of(c->tables[i]));
    }
    buf_put_text(json, "]}");
}

bool stream_position_decode(struct slice json, struct stream_position *out, struct error *err)
{
    json_error_t where;
    json_t *root = json_loadb(json.data ? json.data : "", json.len, 0, &where), *epoch, *lsn, *table;
    *out = (struct stream_position){0};
    epoch = json_object_get(root, "epoch");
    lsn = json_object_get(root, "lsn");
    bool ok = json_is_integer(epoch) && json_is_integer(lsn);
    if (ok) {
        struct copies *c = &out->copies;
        out->lsn = (uint64_t)json_integer_value(lsn);
        out->previous_lsn = (uint64_t)json_integer_value(json_object_get(root, "previous_lsn"));
        c->epoch = (int32_t)json_integer_value(epoch);
        c->next_copy_id = json_integer_value(json_object_get(root, "next_copy_id"));
        c->complete = json_is_true(json_object_get(root, "copy_complete"));
        c->identity = mem_text(json_string_value(json_object_get(root, "identity")));
        size_t i;
        json_array_foreach(json_object_get(root, "copied"), i, table)
            if (json_is_string(table)) copies_add(c, slice_of(json_string_value(table)));
    }
    json_decref(root);
    return ok || error_set(err, ERROR_FATAL, "the position record in Kafka is not one of ours: %.*s",
                           (int)(json.len < 200 ? json.len : 200), json.data ? json.data : "");
}

/* ---- reading it */

struct search {
    struct slice key;
    struct buf newest;
    bool found;
};

static bool take(void *arg, const struct kafka_message *m)
{
    struct search *s = arg;
    if (!slice_equal(m->key, s->key) || !m->value.data) return true;
    buf_clear(&s->newest);
    buf_put_slice(&s->newest, m->value);
    s->found = true;
    return true;
}

/* The newest is near the end: control records and those of other slots stand between. */
static bool search(struct kafka_admin *admin, const struct kafka_partition *p, struct search *s, struct error *err)
{
    for (int64_t back = BACK; !s->found; back *= 10) {
        int64_t from = p->end - back > p->oldest ? p->end - back : p->oldest;
        if (!kafka_read(admin, p->topic, p->partition, from, READ_MOST, WAIT_US, take, s, err)) return false;
        if (from == p->oldest) break;
    }
    return true;
}

bool stream_position_look(struct kafka_admin *admin, const struct config *config, bool *found,
                          struct stream_position *out, struct error *err)
{
    struct kafka_partitions list = {0};
    char *topic = stream_position_topic(config), *key = stream_position_key(config);
    struct search s = {.key = slice_of(key)};
    *out = (struct stream_position){0};
    bool ok = kafka_list(admin, topic, WAIT_US, &list, err);
    if (ok && list.count) ok = search(admin, &list.items[0], &s, err);
    if (ok && s.found) ok = stream_position_decode(buf_slice(&s.newest), out, err);
    *found = s.found;
    kafka_partitions_free(&list);
    buf_free(&s.newest);
    mem_free(topic);
    mem_free(key);
    return ok;
}
