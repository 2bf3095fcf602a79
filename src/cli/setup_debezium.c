/* setup --capture debezium: the connector that carries this source to Kafka, as Connect's interface takes
 * it.
 *
 * The form is debezium/connector_config.json; its ${NAME:-default} are filled from the settings, from what
 * libpq makes of `source`, and else with the default. The password stays a placeholder unless it is asked
 * for: what stands on a terminal or in a file is soon elsewhere. */
#include "base/assets.h"
#include "cli/setup_int.h"
#include "net/pg.h"

#include <jansson.h>
#include <stdlib.h>

#define FORM "debezium/connector_config.json"
#define PASSWORD "MILLRACE_SOURCE_PASSWORD"

struct value {
    const char *name; /* in the form */
    char *text;       /* NULL or empty: the default */
};

struct filling {
    struct value *values;
    size_t count;
};

static const char *find(const struct filling *f, struct slice name)
{
    for (size_t i = 0; i < f->count; i++)
        if (slice_equal(slice_of(f->values[i].name), name)) return f->values[i].text;
    return NULL;
}

/* One text of the form; a placeholder without value or default stays as it is. */
static char *fill(const struct filling *f, const char *text)
{
    struct buf out = {0};
    while (*text) {
        const char *end = text[0] == '$' && text[1] == '{' ? strchr(text, '}') : NULL;
        if (!end) {
            buf_put_char(&out, *text++);
            continue;
        }
        struct slice inner = {text + 2, (size_t)(end - text - 2)};
        const char *colon = memchr(inner.data, ':', inner.len);
        struct slice name = {inner.data, colon ? (size_t)(colon - inner.data) : inner.len};
        const char *value = find(f, name);
        if (value && *value)
            buf_put_text(&out, value);
        else if (colon)
            buf_put(&out, colon + 2, (size_t)(end - colon - 2)); /* behind ":-" */
        else
            buf_put(&out, text, (size_t)(end + 1 - text));
        text = end + 1;
    }
    return buf_take(&out);
}

static bool set_filled(const struct filling *f, json_t *object, const char *name, const char *text)
{
    char *filled = fill(f, text);
    bool ok = json_object_set_new(object, name, json_string(filled)) == 0;
    mem_free(filled);
    return ok;
}

/* The whole form as text; publication: setup has made it, so that the connector need not own the tables. */
static bool put_connector(const struct filling *f, bool publication, struct buf *out, struct error *err)
{
    const struct asset *form = asset_find(FORM);
    json_t *root = form ? json_loadb(form->data, form->len, 0, NULL) : NULL;
    json_t *config = json_object_get(root, "config"), *value;
    const char *name;
    void *next;
    bool ok = json_is_object(config) &&
              set_filled(f, root, "name", json_string_value(json_object_get(root, "name")));
    json_object_foreach_safe(config, next, name, value) ok =
        ok && set_filled(f, config, name, json_string_value(value));
    if (ok && publication)
        ok = json_object_set_new(config, "publication.autocreate.mode", json_string("disabled")) == 0;
    char *text = ok ? json_dumps(root, JSON_INDENT(2)) : NULL;
    if (text) {
        buf_put_text(out, text);
        buf_put_char(out, '\n');
    }
    free(text);
    json_decref(root);
    return text || error_set(err, ERROR_DATA, FORM " cannot be filled: a value is not valid UTF-8");
}

/* PostgreSQL's list of names becomes one of patterns: what a pattern would read otherwise is escaped. */
static char *patterns_of(const char *tables)
{
    struct buf out = {0};
    for (const char *p = tables; *p; p++) {
        if (*p == ' ') continue;
        if (strchr("\\^$|?*+()[]{}", *p)) buf_put_char(&out, '\\');
        buf_put_char(&out, *p);
    }
    return buf_take(&out);
}

/* The password belongs to the user of `source`; the connector may be another. */
static bool take_password(const struct connector_form *form, struct value *password, struct error *err)
{
    char *user = NULL;
    bool ok = pg_source_part(form->config->source, "user", &user, err) &&
              pg_source_part(form->config->source, "password", &password->text, err);
    if (ok && (!user || strcmp(user, form->role) != 0))
        ok = error_set(
            err, ERROR_CONFIG,
            "`source` has the password of %s, not of %s; name the connector's role with --role, or fill "
            "${" PASSWORD "} in yourself",
            user ? user : "nobody", form->role);
    mem_free(user);
    return ok;
}

bool setup_put_connector(const struct connector_form *form, struct buf *out, struct error *err)
{
    const struct config *c = form->config;
    struct value values[] = {
        {"MILLRACE_SOURCE_HOST", NULL},
        {"MILLRACE_SOURCE_PORT", NULL},
        {"MILLRACE_SOURCE_DATABASE", NULL},
        {PASSWORD, NULL},
        {"MILLRACE_SOURCE_USER", mem_text(form->role)},
        {"MILLRACE_CONNECTOR", mem_text(c->topic_prefix)},
        {"MILLRACE_TOPIC_PREFIX", mem_text(c->topic_prefix)},
        {"MILLRACE_SLOT", mem_text(c->slot)},
        {"MILLRACE_PUBLICATION", mem_text(c->publication)},
        {"MILLRACE_TABLES", patterns_of(form->tables)},
    };
    struct filling f = {values, sizeof values / sizeof *values};
    bool ok = pg_source_part(c->source, "host", &values[0].text, err) &&
              pg_source_part(c->source, "port", &values[1].text, err) &&
              pg_source_part(c->source, "dbname", &values[2].text, err) &&
              (!form->with_password || take_password(form, &values[3], err)) &&
              put_connector(&f, form->publication, out, err);
    for (size_t i = 0; i < f.count; i++)
        mem_free(values[i].text);
    return ok;
}
