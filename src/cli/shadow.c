/* `shadow`: what two captures of one PostgreSQL have sent, event by event.
 *
 *   topics of A, topics of B --by what follows the prefix--> records --> normalised (shadow_normal.c)
 *        --> rows of the copies as sets, by key; changes in their order (of each key, where there are partitions)
 *
 * Two connectors see one commit order but two clocks and two snapshots: what must differ is masked. Texts are kept
 * as 128-bit hashes; where two differ, the records are read again and their first different member is told. */
#include "base/map.h"
#include "cli/commands.h"
#include "cli/shadow.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

enum { WAIT_US = 30000000, SHOWN = 10 };

struct item {
    XXH128_hash_t key, value;
    int32_t partition;
    int64_t offset;
    bool copied;
};

struct side {
    const char *prefix;
    char *topic;
    struct item *items;
    size_t count, cap;
    int partitions;
    bool schemas, any;
};

struct shadow {
    struct kafka_admin *admin;
    bool bare;
    struct side a, b;
    size_t identical, different, shown;
};

/* ---- reading */

struct reading {
    struct shadow *shadow;
    struct side *side;
};

static XXH128_hash_t hash_of(const struct shadow_event *e)
{
    char *all = mem_format("%s\n%s\n%s", e->key, e->value, e->headers);
    XXH128_hash_t hash = XXH3_128bits(all, strlen(all));
    mem_free(all);
    return hash;
}

static bool take(void *arg, const struct kafka_message *m)
{
    struct reading *r = arg;
    struct side *s = r->side;
    struct shadow_event e;
    shadow_normalise(m, s->prefix, r->shadow->bare, &e);
    MEM_GROW(s->items, s->count, s->cap);
    s->items[s->count++] = (struct item){XXH3_128bits(e.key, strlen(e.key)), hash_of(&e), m->partition, m->offset, e.copied};
    shadow_event_free(&e);
    return true;
}

static bool look(void *arg, const struct kafka_message *m)
{
    struct side *s = arg;
    if (!m->value.data) return true;
    s->schemas = shadow_has_schema(m);
    s->any = true;
    return false;
}

static bool read_side(struct shadow *sh, struct side *s, const struct kafka_partitions *all, kafka_each *each, void *arg,
                      struct error *err)
{
    s->partitions = 0;
    for (size_t i = 0; i < all->count; i++) {
        const struct kafka_partition *p = &all->items[i];
        if (strcmp(p->topic, s->topic) != 0) continue;
        s->partitions++;
        if (p->end > p->oldest && !kafka_read(sh->admin, p->topic, p->partition, p->oldest, SIZE_MAX, WAIT_US, each, arg, err))
            return false;
    }
    return true;
}

/* ---- comparing */

static int compare_hash(XXH128_hash_t a, XXH128_hash_t b)
{
    if (a.high64 != b.high64) return a.high64 < b.high64 ? -1 : 1;
    return a.low64 == b.low64 ? 0 : a.low64 < b.low64 ? -1 : 1;
}

/* Copied rows first, by key; then changes: by key, each key's in its order. */
static int by_key(const void *x, const void *y)
{
    const struct item *a = x, *b = y;
    if (a->copied != b->copied) return a->copied ? -1 : 1;
    int order = compare_hash(a->key, b->key);
    if (order == 0 && a->copied) order = compare_hash(a->value, b->value);
    if (order) return order;
    return a->partition != b->partition ? a->partition - b->partition : (a->offset > b->offset) - (a->offset < b->offset);
}

/* The same, but changes stay in the order of the topic. */
static int by_order(const void *x, const void *y)
{
    const struct item *a = x, *b = y;
    if (a->copied && b->copied) return by_key(x, y);
    if (a->copied != b->copied) return a->copied ? -1 : 1;
    return (a->offset > b->offset) - (a->offset < b->offset);
}

struct wanted {
    const char *prefix;
    bool bare;
    int64_t offset;
    struct shadow_event event;
    bool found;
};

static bool take_one(void *arg, const struct kafka_message *m)
{
    struct wanted *w = arg;
    if (m->offset != w->offset) return false;
    shadow_normalise(m, w->prefix, w->bare, &w->event);
    w->found = true;
    return false;
}

static struct wanted read_again(struct shadow *sh, const struct side *s, const struct item *item)
{
    struct wanted w = {.prefix = s->prefix, .bare = sh->bare, .offset = item->offset};
    struct error ignored;
    if (!kafka_read(sh->admin, s->topic, item->partition, item->offset, 1, WAIT_US, take_one, &w, &ignored)) w.found = false;
    return w;
}

static void show(struct shadow *sh, const struct item *a, const struct item *b)
{
    sh->different++;
    if (sh->shown++ >= SHOWN) return;
    struct buf text = {0};
    struct wanted x = a ? read_again(sh, &sh->a, a) : (struct wanted){0}, y = b ? read_again(sh, &sh->b, b) : (struct wanted){0};
    if (a) buf_printf(&text, "  %s/%d@%" PRId64, sh->a.topic, (int)a->partition, a->offset);
    if (b) buf_printf(&text, "  %s/%d@%" PRId64, sh->b.topic, (int)b->partition, b->offset);
    buf_printf(&text, "  key %s: ", x.found ? x.event.key : y.found ? y.event.key : "?");
    if (x.found && y.found) {
        if (strcmp(x.event.key, y.event.key) != 0) shadow_put_difference(x.event.key, y.event.key, &text);
        else if (strcmp(x.event.value, y.event.value) != 0) shadow_put_difference(x.event.value, y.event.value, &text);
        else shadow_put_difference(x.event.headers, y.event.headers, &text);
    } else {
        buf_printf(&text, "only in %s", a ? sh->a.prefix : sh->b.prefix);
    }
    puts(buf_text(&text));
    shadow_event_free(&x.event);
    shadow_event_free(&y.event);
    buf_free(&text);
}

static void compare(struct shadow *sh)
{
    struct side *a = &sh->a, *b = &sh->b;
    int (*order)(const void *, const void *) = a->partitions <= 1 && b->partitions <= 1 ? by_order : by_key;
    if (a->count) qsort(a->items, a->count, sizeof *a->items, order);
    if (b->count) qsort(b->items, b->count, sizeof *b->items, order);
    for (size_t i = 0, k = 0; i < a->count || k < b->count;) {
        const struct item *x = i < a->count ? &a->items[i] : NULL, *y = k < b->count ? &b->items[k] : NULL;
        if (x && y && compare_hash(x->value, y->value) == 0) {
            sh->identical++;
            i++;
            k++;
            continue;
        }
        /* rows of the copies are sets: what is missing on one side must not shift the rest */
        int side = !x ? 1 : !y ? -1 : x->copied != y->copied ? (x->copied ? -1 : 1) : 0;
        if (side == 0 && x->copied) side = compare_hash(x->key, y->key);
        show(sh, side <= 0 ? x : NULL, side >= 0 ? y : NULL);
        i += side <= 0;
        k += side >= 0;
    }
}

static void side_clear(struct side *s)
{
    mem_free(s->items);
    mem_free(s->topic);
    *s = (struct side){.prefix = s->prefix};
}

/* bare must be known before anything is hashed. */
static bool compare_topic(struct shadow *sh, const char *rest, const struct kafka_partitions *ours,
                          const struct kafka_partitions *theirs, struct error *err)
{
    sh->a.topic = mem_format("%s.%s", sh->a.prefix, rest);
    sh->b.topic = mem_format("%s.%s", sh->b.prefix, rest);
    struct reading a = {sh, &sh->a}, b = {sh, &sh->b};
    bool ok = read_side(sh, &sh->a, ours, look, &sh->a, err) && read_side(sh, &sh->b, theirs, look, &sh->b, err);
    sh->bare = sh->a.any && sh->b.any && sh->a.schemas != sh->b.schemas;
    ok = ok && read_side(sh, &sh->a, ours, take, &a, err) && read_side(sh, &sh->b, theirs, take, &b, err);
    size_t before = sh->different, same = sh->identical;
    if (ok) {
        compare(sh);
        printf("%-40s %8zu identical", rest, sh->identical - same);
        if (sh->different > before) printf("  %zu DIFFERENT", sh->different - before);
        puts(sh->bare ? "  (payloads only: one side has no schemas)" : "");
    }
    side_clear(&sh->a);
    side_clear(&sh->b);
    return ok;
}

/* Names after the prefix, of both sides, each once. */
static void collect(const struct kafka_partitions *list, const char *prefix, struct map *names)
{
    size_t n = strlen(prefix) + 1;
    for (size_t i = 0; i < list->count; i++) *map_put(names, slice_of(list->items[i].topic + n)) = names;
}

static bool list_topics(struct shadow *sh, const char *prefix, struct kafka_partitions *out, struct error *err)
{
    struct buf pattern = {0};
    buf_put_char(&pattern, '^');
    for (const char *p = prefix; *p; p++) {
        if (strchr(".[]()*+?{}|^$\\", *p)) buf_put_char(&pattern, '\\');
        buf_put_char(&pattern, *p);
    }
    buf_put_text(&pattern, "\\..+");
    bool ok = kafka_list(sh->admin, buf_text(&pattern), WAIT_US, out, err);
    buf_free(&pattern);
    return ok && (out->count || error_set(err, ERROR_CONFIG, "there are no topics %s.*", prefix));
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool compare_all(struct shadow *sh, struct error *err)
{
    struct kafka_partitions ours = {0}, theirs = {0};
    struct map names = {0};
    struct slice name;
    char **list = NULL;
    size_t count = 0, cap = 0;
    bool ok = list_topics(sh, sh->a.prefix, &ours, err) && list_topics(sh, sh->b.prefix, &theirs, err);
    if (ok) {
        collect(&ours, sh->a.prefix, &names);
        collect(&theirs, sh->b.prefix, &names);
    }
    for (size_t at = 0; map_next(&names, &at, &name, NULL);) {
        MEM_GROW(list, count, cap);
        list[count++] = mem_textn(name.data, name.len);
    }
    if (count) qsort(list, count, sizeof *list, by_name);
    for (size_t i = 0; ok && i < count; i++) ok = compare_topic(sh, list[i], &ours, &theirs, err);
    for (size_t i = 0; i < count; i++) mem_free(list[i]);
    mem_free(list);
    map_free(&names, NULL);
    kafka_partitions_free(&ours);
    kafka_partitions_free(&theirs);
    return ok;
}

static int run_shadow(struct cli *cli)
{
    const char *a = cli_option(cli, "topics"), *b = cli_option(cli, "against");
    if (!cli_arguments(cli, 0, 0)) return CLI_USAGE;
    if (!a || !b) return cli_wrong(cli, "--topics and --against are both needed");
    if (strcmp(a, b) == 0) return cli_wrong(cli, "--topics and --against are the same prefix");
    if (!*cli->config.bootstrap_servers) return cli_wrong(cli, "no broker is named; give --bootstrap-servers");
    struct error err = {0};
    struct shadow sh = {.a = {.prefix = a}, .b = {.prefix = b}};
    bool ok = kafka_admin_open(&sh.admin, &cli->config, &err) && compare_all(&sh, &err);
    kafka_admin_close(sh.admin);
    if (!ok) return cli_fail(&err);
    if (sh.shown > SHOWN) printf("  .. and %zu more\n", sh.shown - SHOWN);
    if (sh.different) printf("different: %zu of %zu events\n", sh.different, sh.identical + sh.different);
    else printf("identical: %zu events\n", sh.identical);
    return sh.different ? CLI_FAILED : CLI_OK;
}

const struct command command_shadow = {
    .name = "shadow",
    .summary = "Compare what two captures of one PostgreSQL sent to Kafka\n"
               "Event by event, without what must differ (clocks, prefix, snapshot positions): so that one can take the "
               "place of the other.",
    .usage = "shadow --topics PREFIX --against PREFIX",
    .example = "millrace shadow --bootstrap-servers localhost:9092 --topics shop --against shop_debezium",
    .options = {{"topics", "PREFIX", "topic.prefix of the one"}, {"against", "PREFIX", "topic.prefix of the other"}},
    .run = run_shadow,
};
