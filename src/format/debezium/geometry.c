/* point and box as well-known binary, little-endian (OGC Simple Feature Access, "WKB Geometry"). */
#include "format/debezium/encode_int.h"

#include <stdlib.h>

/* Numbers in a text such as "(3,4),(1,2)"; their texts too, for JSON. */
static size_t numbers(struct slice text, double *out, struct slice *texts, size_t most)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len && n < most;) {
        if (strchr("(),[]<>{} ", text.data[i])) {
            i++;
            continue;
        }
        size_t len = 0;
        while (i + len < text.len && !strchr("(),[]<>{} ", text.data[i + len])) len++;
        char *one = mem_textn(text.data + i, len), *end;
        out[n] = strtod(one, &end);
        bool ok = *end == '\0' && len > 0;
        mem_free(one);
        if (!ok) return 0;
        texts[n++] = (struct slice){text.data + i, len};
        i += len;
    }
    return n;
}

static void put_head(struct buf *wkb, uint32_t type)
{
    buf_put_u8(wkb, 1);
    buf_put_u32(wkb, type);
}

static void put_double(struct buf *wkb, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    buf_put_u64(wkb, bits);
}

static void put_wkb(struct buf *json, struct buf *wkb)
{
    debezium_put_base64((const unsigned char *)wkb->data, wkb->len, false, json);
    buf_free(wkb);
}

bool debezium_put_point(struct slice text, struct buf *json)
{
    double v[2];
    struct slice texts[2];
    if (numbers(text, v, texts, 2) != 2) return false;
    struct buf wkb = {0};
    buf_put_text(json, "{\"x\":");
    if (!debezium_put_float(texts[0], json)) return false;
    buf_put_text(json, ",\"y\":");
    if (!debezium_put_float(texts[1], json)) return false;
    put_head(&wkb, 1);
    put_double(&wkb, v[0]);
    put_double(&wkb, v[1]);
    buf_put_text(json, ",\"wkb\":");
    put_wkb(json, &wkb);
    buf_put_text(json, ",\"srid\":null}");
    return true;
}

/* From the upper right corner, by the lower right one. */
bool debezium_put_box(struct slice text, struct buf *json)
{
    double v[4];
    struct slice texts[4];
    if (numbers(text, v, texts, 4) != 4) return false;
    static const int order[5][2] = {{0, 1}, {0, 3}, {2, 3}, {2, 1}, {0, 1}};
    struct buf wkb = {0};
    put_head(&wkb, 3);
    buf_put_u32(&wkb, 1);
    buf_put_u32(&wkb, 5);
    for (size_t i = 0; i < 5; i++) {
        put_double(&wkb, v[order[i][0]]);
        put_double(&wkb, v[order[i][1]]);
    }
    buf_put_text(json, "{\"wkb\":");
    put_wkb(json, &wkb);
    buf_put_text(json, ",\"srid\":null,\"extensions\":{\"type\":\"box\"}}");
    return true;
}
