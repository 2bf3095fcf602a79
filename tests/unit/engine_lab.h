/* The SQL engine for a test program: opened once over <home>/warehouse, because libchdb cannot be opened
 * twice in a process. */
#ifndef MILLRACE_TESTS_ENGINE_LAB_H
#define MILLRACE_TESTS_ENGINE_LAB_H

#include "unit.h"

#include "engine/engine.h"

static inline struct engine_conn *engine_lab_open(const char *home)
{
    struct error err = {0};
    struct engine_conn *conn = NULL;
    char *storage = mem_format("%s/warehouse", home);
    unit_ok(engine_open("", home, storage, INT64_C(1) << 30, &err));
    unit_ok(engine_connect(&conn, NULL, &err));
    mem_free(storage);
    return conn;
}

/* Closes it, and removes and frees home. */
static inline void engine_lab_close(struct engine_conn *conn, char *home)
{
    engine_disconnect(conn);
    engine_close();
    unit_folder_remove(home);
}

#endif
