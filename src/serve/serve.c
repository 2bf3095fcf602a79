#include "serve/serve.h"

#include "serve/clickhouse/clickhouse.h"

struct serve {
    struct clickhouse_server *clickhouse;
};

bool serve_start(struct serve **out, struct flow *flow, struct error *err)
{
    struct serve *s = mem_alloc(sizeof *s);
    if (!clickhouse_start(&s->clickhouse, flow, err)) {
        mem_free(s);
        return false;
    }
    *out = s;
    return true;
}

void serve_stop(struct serve *s)
{
    clickhouse_stop(s->clickhouse);
    mem_free(s);
}
