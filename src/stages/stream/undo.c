#include "stages/stream/producer_int.h"

static void copy_position(struct stream_position *to, const struct stream_position *from)
{
    *to = (struct stream_position){.lsn = from->lsn, .previous_lsn = from->previous_lsn};
    to->copies = (struct copies){.epoch = from->copies.epoch,
                                 .complete = from->copies.complete,
                                 .next_copy_id = from->copies.next_copy_id,
                                 .identity = mem_text(from->copies.identity)};
    for (size_t i = 0; i < from->copies.count; i++) copies_add(&to->copies, slice_of(from->copies.tables[i]));
}

void undo_begin(struct producer *p)
{
    struct undo *u = &p->undo;
    undo_forget(p);
    u->number++;
    u->any_row = p->any_row;
    copy_position(&u->position, &p->position);
    u->open = p->open;
    u->open.order_cap = u->open.order_count;
    u->open.order = NULL;
    if (p->open.order_count) {
        u->open.order = mem_resize(NULL, p->open.order_count, sizeof *u->open.order);
        memcpy(u->open.order, p->open.order, p->open.order_count * sizeof *u->open.order);
    }
}

static struct undo_topic *add(struct undo *u, struct topic *t)
{
    MEM_GROW(u->items, u->count, u->cap);
    u->items[u->count] = (struct undo_topic){.topic = t};
    return &u->items[u->count++];
}

void undo_note(struct producer *p, struct topic *t)
{
    if (t->noted == p->undo.number) return;
    t->noted = p->undo.number;
    struct undo_topic *item = add(&p->undo, t);
    item->held = t->held;
    item->any = t->any;
    item->count = t->count;
    if (t->held) buf_put_slice(&item->held_event, buf_slice(&t->held_event));
}

void undo_schemas(struct producer *p, struct topic *t)
{
    struct undo_topic *item = add(&p->undo, t);
    item->schemas = true;
    item->key_schema = t->key_schema;
    item->value_schema = t->value_schema;
    t->key_schema = t->value_schema = NULL;
}

static void restore(struct undo_topic *item)
{
    struct topic *t = item->topic;
    if (item->schemas) {
        mem_free(t->key_schema);
        mem_free(t->value_schema);
        t->key_schema = item->key_schema;
        t->value_schema = item->value_schema;
        item->key_schema = item->value_schema = NULL;
        return;
    }
    t->held = item->held;
    t->any = item->any;
    t->count = item->count;
    buf_clear(&t->held_event);
    buf_put_slice(&t->held_event, buf_slice(&item->held_event));
}

void undo_all(struct producer *p)
{
    struct undo *u = &p->undo;
    for (size_t i = u->count; i-- > 0;) restore(&u->items[i]);
    stream_position_free(&p->position);
    p->position = u->position;
    u->position = (struct stream_position){0};
    mem_free(p->open.order);
    p->open = u->open;
    u->open = (struct open_transaction){0};
    p->any_row = u->any_row;
    undo_forget(p);
}

void undo_forget(struct producer *p)
{
    struct undo *u = &p->undo;
    for (size_t i = 0; i < u->count; i++) {
        mem_free(u->items[i].key_schema);
        mem_free(u->items[i].value_schema);
        buf_free(&u->items[i].held_event);
    }
    u->count = 0;
    stream_position_free(&u->position);
    mem_free(u->open.order);
    u->open = (struct open_transaction){0};
}
