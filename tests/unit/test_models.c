/* The gold models' rules over a small shop: money split to the cent, versions of dimensions, current
 * reviews, orders without items, lateness by date, persons, categories, the calendar, and that all
 * aggregates give the facts' totals. The models run as gold runs them: in the order of their dependencies,
 * each column cast to its declared type. */
#include "engine_lab.h"

#include "base/assets.h"
#include "stages/refine/gold/gold_int.h"

static char *home;
static struct engine_conn *conn;
static struct gold_models models;

static void run(const char *sql)
{
    struct error err = {0};
    if (!engine_run(conn, sql, &err)) fail_msg("%.400s\n%s", sql, err.text);
}

static void assert_answer(const char *sql, const char *expected)
{
    struct error err = {0};
    struct engine_result r = {0};
    if (!engine_query(conn, sql, "TSV", NULL, 0, &r, &err)) fail_msg("%s\n%s", sql, err.text);
    struct slice got = r.data;
    while (got.len && got.data[got.len - 1] == '\n') got.len--;
    if (!slice_equal(got, slice_of(expected)))
        fail_msg("%s\n  gives %.*s\n  not   %s", sql, (int)got.len, got.data, expected);
    engine_result_free(&r);
}

/* ---- the tables ---- */

static void run_file(const char *path)
{
    const struct asset *a = asset_find(path);
    assert_non_null(a);
    for (const char *at = a->data, *end; (end = strstr(at, ";\n")) != NULL; at = end + 2) {
        char *sql = mem_textn(at, (size_t)(end - at));
        run(sql);
        mem_free(sql);
    }
}

/* The columns in a silver model's header. */
static void read_columns(const char *table, struct columns *out)
{
    char *path = mem_format("sql/silver/%s.sql", table);
    const struct asset *a = asset_find(path);
    assert_non_null(a);
    const char *at = strstr(a->data, "-- columns:\n");
    assert_non_null(at);
    char name[64], type[64];
    struct error err = {0};
    while ((at = strchr(at, '\n')) && sscanf(++at, "--   %63s %63[^\n]", name, type) == 2) {
        struct column c = {0};
        unit_ok(column_type_parse(type, &c, &err));
        columns_add(out, name, c.type, c.precision, c.scale, c.nullable);
    }
    mem_free(path);
}

static void make_silver(const char *table, bool history)
{
    struct columns columns = {0};
    struct buf sql = {0};
    read_columns(table, &columns);
    assert_true(columns.count > 1);
    buf_printf(&sql, "CREATE TABLE %s%s (", table, history ? "_history" : "");
    columns_clickhouse(&columns, &sql);
    buf_put_text(&sql, ", _key String, _epoch Int32 DEFAULT 1, _lsn Int64 DEFAULT 1, _ordinal Int64,"
                       " _commit_at DateTime64(6, 'UTC') DEFAULT toDateTime64('2018-06-01 00:00:00', 6, 'UTC')");
    if (history) buf_put_text(&sql, ", _op String, _valid_from DateTime64(6, 'UTC')");
    buf_put_text(&sql, ") ENGINE = Memory");
    run(buf_text(&sql));
    buf_free(&sql);
    columns_free(&columns);
}

static void run_model(const struct gold_model *m)
{
    struct buf sql = {0};
    buf_printf(&sql, "CREATE TABLE %s ENGINE = Memory AS SELECT ", m->name);
    for (size_t i = 0; i < m->columns.count; i++) {
        buf_put_text(&sql, i ? ", CAST(" : "CAST(");
        buf_put_sql_name(&sql, m->columns.items[i].name);
        buf_put_text(&sql, " AS ");
        column_type_clickhouse(&m->columns.items[i], &sql);
        buf_put_text(&sql, ") AS ");
        buf_put_sql_name(&sql, m->columns.items[i].name);
    }
    buf_printf(&sql, " FROM (%s)", m->select);
    run(buf_text(&sql));
    buf_free(&sql);
}

/* ---- the shop ---- */

static void fill_persons(void)
{
    run("INSERT INTO customers (customer_id, customer_unique_id, customer_zip_code_prefix, customer_city,"
        " customer_state, city_name) VALUES"
        " ('c1', 'ana', '01001', 'sao paulo', 'SP', 'sao paulo'),"
        " ('c2', 'ana', '01001', 'sao paulo', 'SP', 'sao paulo'),"
        " ('c3', 'ana', '20001', 'rio de janeiro', 'RJ', 'rio de janeiro'),"
        " ('c4', 'bia', '01001', 'sao paulo', 'SP', 'sao paulo'),"
        " ('c5', 'caio', '69001', 'manaus', 'AM', 'manaus'),"
        " ('c6', 'dora', '01001', 'sao paulo', 'SP', 'sao paulo'),"
        " ('c7', 'dora', '20001', 'rio de janeiro', 'RJ', NULL)");
    run("INSERT INTO geolocation (id, geolocation_zip_code_prefix, geolocation_lat, geolocation_lng,"
        " geolocation_city, geolocation_state, city_name, is_valid) VALUES"
        " (1, '01001', -23.1, -46.3, 'são paulo', 'SP', 'sao paulo', true),"
        " (2, '01001', -23.3, -46.1, 'sao paulo', 'SP', 'sao paulo', true),"
        " (3, '01001', -23.2, -46.2, 'osasco', 'SP', 'osasco', true),"
        " (4, '01001', 45.0, 9.0, 'milano', 'SP', 'milano', false)");
}

/* c7 has no order; o5 has no items; o4 was never paid; o6 costs nothing. */
static void fill_orders(void)
{
    run("INSERT INTO orders (order_id, customer_id, order_status, order_purchase_timestamp,"
        " order_approved_at, order_delivered_carrier_date, order_delivered_customer_date,"
        " order_estimated_delivery_date) VALUES"
        " ('o1', 'c1', 'delivered', '2018-01-10 10:00:00', '2018-01-10 11:00:00', '2018-01-12 00:00:00',"
        "  '2018-01-20 18:00:00', '2018-01-20 00:00:00'),"
        " ('o2', 'c2', 'delivered', '2018-02-10 10:00:00', '2018-02-10 09:00:00', '2018-02-12 00:00:00',"
        "  '2018-02-23 18:00:00', '2018-02-20 00:00:00'),"
        " ('o3', 'c3', 'shipped', '2018-03-05 10:00:00', NULL, NULL, NULL, '2018-03-20 00:00:00'),"
        " ('o4', 'c4', 'delivered', '2018-03-01 10:00:00', NULL, NULL, NULL, '2018-03-20 00:00:00'),"
        " ('o5', 'c5', 'canceled', '2018-03-02 10:00:00', NULL, NULL, '2018-03-10 10:00:00',"
        "  '2018-03-09 00:00:00'),"
        " ('o6', 'c6', 'created', '2018-03-03 10:00:00', NULL, NULL, NULL, '2018-03-20 00:00:00')");
    run("INSERT INTO order_items (order_id, order_item_id, product_id, seller_id, shipping_limit_date, price,"
        " freight_value) VALUES"
        " ('o1', 1, 'p1', 's1', '2018-01-11 00:00:00', 10.00, 0.00),"
        " ('o1', 2, 'p1', 's1', '2018-01-11 00:00:00', 10.00, 0.00),"
        " ('o1', 3, 'p1', 's1', '2018-01-11 00:00:00', 10.00, 0.00),"
        " ('o2', 1, 'p1', 's1', '2020-04-09 00:00:00', 70.10, 9.90),"
        " ('o2', 2, 'p2', 's2', '2020-04-09 00:00:00', 0.85, 0.00),"
        " ('o3', 1, 'p3', 's1', '2018-03-07 00:00:00', 5.00, 1.00),"
        " ('o4', 1, 'gone', 's1', '2018-03-07 00:00:00', 5.00, 1.00),"
        " ('o6', 1, 'p4', 's1', '2018-03-07 00:00:00', 0.00, 0.00),"
        " ('o6', 2, 'p4', 's1', '2018-03-07 00:00:00', 0.00, 0.00)");
    run("INSERT INTO order_payments (order_id, payment_sequential, payment_type, payment_installments,"
        " payment_value) VALUES"
        " ('o1', 1, 'credit_card', 3, 60.00), ('o1', 2, 'voucher', 1, 40.00),"
        " ('o2', 2, 'boleto', 1, 85.37), ('o3', 1, 'credit_card', 0, 6.00),"
        " ('o5', 1, 'voucher', 1, 12.00), ('o6', 1, 'voucher', 1, 0.01)");
    run("INSERT INTO order_reviews (review_id, order_id, review_score, review_comment_title,"
        " review_comment_message, review_creation_date, review_answer_timestamp, has_comment) VALUES"
        " ('r1', 'o1', 1, NULL, 'N\xc3\x83O RECEBI o produto', '2018-01-21 00:00:00', '2018-01-22 10:00:00', true),"
        " ('r2', 'o1', 5, NULL, 'Chegou, recomendo', '2018-01-22 00:00:00', '2018-01-25 10:00:00', true),"
        " ('r3', 'o1', 3, NULL, NULL, '2018-01-23 00:00:00', '2018-01-24 10:00:00', false),"
        " ('r2', 'o2', 4, NULL, '   ', '2018-01-22 00:00:00', '2018-01-25 10:00:00', false)");
}

/* p1 in time: made, two updates in one transaction, one without change, one while the clock went back,
 * deleted, made again. */
static void fill_history(void)
{
    run("INSERT INTO products_history (product_id, product_category_name, product_weight_g, _lsn, _ordinal,"
        " _op, _valid_from) VALUES"
        " ('p1', 'bebes', 1, 200, 0, 'c', '2018-02-01 10:00:00'),"
        " ('p1', 'bebes', 2, 210, 0, 'u', '2018-02-02 10:00:00'),"
        " ('p1', 'pcs', 3, 210, 1, 'u', '2018-02-02 10:00:00'),"
        " ('p1', 'pcs', 3, 220, 0, 'u', '2018-02-03 10:00:00'),"
        " ('p1', 'pcs', 4, 230, 0, 'u', '2018-02-02 09:00:00'),"
        " ('p1', 'pcs', 4, 240, 0, 'd', '2018-02-04 10:00:00'),"
        " ('p1', 'pcs', 4, 250, 0, 'c', '2018-02-05 10:00:00'),"
        " ('p2', 'pc_gamer', 1, 100, 0, 'r', '2018-01-01 00:00:00'),"
        " ('p3', NULL, NULL, 100, 0, 'r', '2018-01-01 00:00:00'),"
        " ('p4', 'bebes', 0, 100, 0, 'r', '2018-01-01 00:00:00'),"
        " ('p4', 'bebes', 0, 300, 0, 't', '2018-05-01 00:00:00'),"
        " ('p5', 'bebes', 0, 310, 0, 'c', '2018-05-02 00:00:00'),"
        " ('p5', 'bebes', 0, 310, 1, 'd', '2018-05-02 00:00:00')");
    run("INSERT INTO product_category_name_translation (product_category_name,"
        " product_category_name_english) VALUES ('bebes', 'baby'), ('pcs', 'computers')");
    run("INSERT INTO sellers_history (seller_id, seller_zip_code_prefix, seller_city, seller_state, city_name,"
        " _lsn, _op, _valid_from) VALUES"
        " ('s1', '01001', 'sao paulo', 'SP', 'sao paulo', 100, 'r', '2018-01-01 00:00:00'),"
        " ('s1', '01001', 'osasco', 'SP', 'osasco', 200, 'u', '2018-02-20 00:00:00'),"
        " ('s2', '99999', '04482255', 'AC', NULL, 100, 'r', '2018-01-01 00:00:00')");
}

static int set_up(void **state)
{
    static const char *const tables[] = {"customers", "sellers", "products", "orders", "order_items",
                                         "order_payments", "order_reviews", "geolocation",
                                         "product_category_name_translation"};
    (void)state;
    struct error err = {0};
    home = unit_folder();
    conn = engine_lab_open(home);
    unit_ok(gold_models_load(&models, assets, asset_count, &err));
    run("CREATE DATABASE shop");
    run("USE shop");
    run_file("sql/dialect/clickhouse.sql");
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) make_silver(tables[i], false);
    make_silver("products", true);
    make_silver("sellers", true);
    fill_persons();
    fill_orders();
    fill_history();
    for (size_t i = 0; i < models.count; i++) run_model(&models.items[i]);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    gold_models_free(&models);
    engine_lab_close(conn, home);
    return 0;
}

/* ---- the rules ---- */

static void test_keys_are_unique_and_columns_complete(void **state)
{
    (void)state;
    for (size_t i = 0; i < models.count; i++) {
        const struct gold_model *m = &models.items[i];
        struct buf sql = {0};
        buf_put_text(&sql, "SELECT count() > 0, count() - uniqExact(");
        for (size_t k = 0; k < m->key_count; k++)
            buf_printf(&sql, "%s%s", k ? ", " : "", m->columns.items[m->keys[k]].name);
        buf_printf(&sql, ") FROM %s", m->name);
        assert_answer(buf_text(&sql), "1\t0");
        buf_free(&sql);
    }
}

static void test_payments_are_split_to_the_cent(void **state)
{
    (void)state;
    assert_answer("SELECT order_id, order_item_id, payment_value_alloc FROM fact_orders"
                  " WHERE order_id IN ('o1', 'o2', 'o4', 'o6') ORDER BY order_id, order_item_id",
                  "o1\t1\t33.34\no1\t2\t33.33\no1\t3\t33.33\no2\t1\t84.47\no2\t2\t0.90\n"
                  "o4\t1\t0.00\no6\t1\t0.01\no6\t2\t0.00");
    assert_answer("SELECT sum(payment_value_alloc) FROM fact_orders",
                  "191.38"); /* all payments but those of o5, which has no items */
    assert_answer("SELECT payment_type, payment_installments FROM fact_orders WHERE order_id = 'o1' LIMIT 1",
                  "credit_card\t3");
}

static void test_orders_without_items_are_in_the_lifecycle_only(void **state)
{
    (void)state;
    assert_answer("SELECT countIf(order_id = 'o5') FROM fact_orders", "0");
    assert_answer("SELECT items, total_amount, payment_value, is_canceled, is_valid, is_late"
                  " FROM fact_order_lifecycle WHERE order_id = 'o5'", "0\t0.00\t12.00\ttrue\tfalse\tfalse");
    assert_answer("SELECT count() FROM fact_order_lifecycle", "6");
}

static void test_lateness_is_by_date(void **state)
{
    (void)state;
    assert_answer("SELECT order_id, is_late, delivery_days, delay_days FROM fact_order_lifecycle"
                  " WHERE is_delivered ORDER BY order_id", "o1\tfalse\t10\t0\no2\ttrue\t13\t3\no4\tfalse\t\\N\t\\N");
    assert_answer("SELECT is_dispatch_late FROM fact_orders WHERE order_item_id = 1"
                  " AND order_id IN ('o1', 'o2') ORDER BY order_id", "true\nfalse");
    /* stages that ran backwards stay */
    assert_answer("SELECT approve_seconds FROM fact_order_lifecycle WHERE order_id = 'o2'", "-3600");
}

static void test_the_current_review_is_the_latest_answer(void **state)
{
    (void)state;
    assert_answer("SELECT order_id, review_id, review_score FROM fact_reviews WHERE is_current ORDER BY 1",
                  "o1\tr2\t5\no2\tr2\t4");
    assert_answer("SELECT order_id, review_score, reviews FROM fact_order_lifecycle WHERE reviews > 0"
                  " ORDER BY 1", "o1\t5\t3\no2\t4\t1");
    assert_answer("SELECT review_id, order_id, topic, sentiment FROM fact_reviews ORDER BY 1, 2",
                  "r1\to1\tnot_received\tnegative\nr2\to1\tpraise\tpositive\nr2\to2\t\\N\tpositive\n"
                  "r3\to1\t\\N\tneutral");
}

static void test_versions_of_products(void **state)
{
    (void)state;
    assert_answer("SELECT category, weight_g, toString(valid_from), toString(valid_to), is_current"
                  " FROM dim_products WHERE product_id = 'p1' ORDER BY valid_from",
                  "baby\t1\t1970-01-01 00:00:00.000000\t2018-02-02 10:00:00.000000\tfalse\n"
                  "computers\t3\t2018-02-02 10:00:00.000000\t2018-02-02 10:00:00.000001\tfalse\n"
                  "computers\t4\t2018-02-02 10:00:00.000001\t2018-02-04 10:00:00.000000\tfalse\n"
                  "computers\t4\t2018-02-05 10:00:00.000000\t\\N\ttrue");
    assert_answer("SELECT product_id, category, category_pt, is_current FROM dim_products"
                  " WHERE product_id IN ('p2', 'p3', 'p4', 'p5') ORDER BY 1",
                  "p2\tpc_gamer\tPc Gamer\ttrue\np3\tunknown\tDesconhecida\ttrue\np4\tbaby\tBebes\tfalse");
}

static void test_facts_name_the_version_valid_at_the_purchase(void **state)
{
    (void)state;
    assert_answer("SELECT f.order_id, p.weight_g FROM fact_orders f"
                  " JOIN dim_products p ON p.product_key = f.product_key"
                  " WHERE f.order_id IN ('o1', 'o2') AND f.order_item_id = 1 ORDER BY 1", "o1\t1\no2\t4");
    assert_answer("SELECT f.order_id, s.city FROM fact_orders f JOIN dim_sellers s USING (seller_key)"
                  " WHERE f.order_item_id = 1 AND f.order_id IN ('o2', 'o3') ORDER BY 1",
                  "o2\tSao Paulo\no3\tOsasco");
    assert_answer("SELECT order_id, product_key FROM fact_orders WHERE product_key = 0", "o4\t0");
}

static void test_a_person_is_not_a_customer_id(void **state)
{
    (void)state;
    assert_answer("SELECT customer_unique_id, city, region, toString(valid_from), toString(valid_to),"
                  " is_current, first_order_date FROM dim_customers WHERE customer_key != 0"
                  " ORDER BY 1, valid_from",
                  "ana\tSao Paulo\tSudeste\t1970-01-01 00:00:00.000000\t2018-03-05 10:00:00.000000\tfalse\t"
                  "2018-01-10\n"
                  "ana\tRio de Janeiro\tSudeste\t2018-03-05 10:00:00.000000\t\\N\ttrue\t2018-01-10\n"
                  "bia\tSao Paulo\tSudeste\t1970-01-01 00:00:00.000000\t\\N\ttrue\t2018-03-01\n"
                  "caio\tManaus\tNorte\t1970-01-01 00:00:00.000000\t\\N\ttrue\t2018-03-02\n"
                  "dora\tSao Paulo\tSudeste\t1970-01-01 00:00:00.000000\t\\N\ttrue\t2018-03-03");
    assert_answer("SELECT o.order_id, c.state FROM fact_order_lifecycle o JOIN dim_customers c"
                  " USING (customer_key) WHERE o.customer_unique_id = 'ana' ORDER BY 1",
                  "o1\tSP\no2\tSP\no3\tRJ");
}

static void test_places(void **state)
{
    (void)state;
    assert_answer("SELECT zip, city, lat, lng, points FROM geo_zip", "01001\tsao paulo\t-23.2\t-46.2\t3");
    assert_answer("SELECT lat, lng FROM dim_customers WHERE customer_unique_id = 'caio'", "-3.47\t-65.1");
    assert_answer("SELECT city, lat FROM dim_sellers WHERE seller_id = 's2'", "Unknown\t-8.77");
}

static void test_every_dimension_has_the_unknown_member(void **state)
{
    (void)state;
    static const char *const dimensions[] = {"customer", "product", "seller"};
    for (size_t i = 0; i < 3; i++) {
        char *sql = mem_format("SELECT count(), countIf(is_current) FROM dim_%ss WHERE %s_key = 0",
                               dimensions[i], dimensions[i]);
        assert_answer(sql, "1\t1");
        mem_free(sql);
    }
    assert_answer("SELECT count() FROM dim_time WHERE date_key = 0", "1");
}

static void test_the_calendar(void **state)
{
    (void)state;
    assert_answer("SELECT min(date), max(date), count() FROM dim_time WHERE date_key > 0",
                  "2016-01-01\t2021-12-31\t2192"); /* a shipping limit in 2020, and a year of room */
    assert_answer("SELECT date, holiday_name FROM dim_time WHERE year = 2018 AND month < 7 AND is_holiday_br"
                  " ORDER BY date",
                  "2018-01-01\tConfraterniza\xc3\xa7\xc3\xa3o Universal\n2018-02-12\tCarnaval\n"
                  "2018-02-13\tCarnaval\n2018-03-30\tSexta-feira Santa\n2018-04-21\tTiradentes\n"
                  "2018-05-01\tDia do Trabalho\n2018-05-31\tCorpus Christi");
    assert_answer("SELECT date FROM dim_time WHERE is_black_friday AND year < 2020 ORDER BY 1",
                  "2016-11-25\n2017-11-24\n2018-11-23\n2019-11-29");
    assert_answer("SELECT quarter, week, dow, is_weekend, month_name_en FROM dim_time"
                  " WHERE date_key = 20180107", "1\t1\t7\ttrue\tJanuary");
    assert_answer("SELECT count() FROM fact_orders f LEFT ANTI JOIN dim_time t ON t.date_key = f.date_key",
                  "0");
}

static void test_aggregates_give_the_facts_totals(void **state)
{
    (void)state;
    assert_answer("SELECT sum(total_amount) FROM fact_orders", "122.85");
    assert_answer("SELECT (SELECT sum(total_amount) FROM agg_daily), (SELECT sum(gross) FROM"
                  " agg_monthly_revenue), (SELECT sum(total_amount) FROM agg_category),"
                  " (SELECT sum(total_amount) FROM agg_seller), (SELECT sum(total_amount) FROM"
                  " fact_order_lifecycle)", "122.85\t122.85\t122.85\t122.85\t122.85");
    assert_answer("SELECT (SELECT sum(cash) FROM agg_monthly_revenue), (SELECT sum(payment_value) FROM"
                  " agg_payment_mix), (SELECT sum(payment_value) FROM fact_payments)",
                  "203.38\t203.38\t203.38");
    assert_answer("SELECT sum(reviews), sum(current_reviews) FROM agg_review", "4\t2");
    assert_answer("SELECT month, orders, orders_with_items, canceled_orders, net_new, net_returning,"
                  " is_complete FROM agg_monthly_revenue ORDER BY month",
                  "2018-01-01\t1\t1\t0\t30.00\t0.00\ttrue\n2018-02-01\t1\t1\t0\t0.00\t80.85\ttrue\n"
                  "2018-03-01\t4\t3\t1\t6.00\t6.00\tfalse");
    assert_answer("SELECT sum(card_installments), sum(card_payments) FROM agg_payment_mix", "3\t1");
}

static void test_persons_by_recency_frequency_and_money(void **state)
{
    (void)state;
    assert_answer("SELECT customer_unique_id, recency_days, frequency, f_bucket, monetary, segment FROM rfm"
                  " ORDER BY 1", "ana\t0\t3\t3\t116.85\tchampions\nbia\t4\t1\t1\t6.00\tlost\n"
                                 "dora\t2\t1\t1\t0.00\tregular");
    assert_answer("SELECT cohort_month, month_offset, cohort_size, persons, orders FROM cohort ORDER BY 1, 2",
                  "2018-01-01\t0\t1\t1\t1\n2018-01-01\t1\t1\t1\t1\n2018-01-01\t2\t1\t1\t1\n"
                  "2018-03-01\t0\t2\t2\t2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_are_unique_and_columns_complete),
        cmocka_unit_test(test_payments_are_split_to_the_cent),
        cmocka_unit_test(test_orders_without_items_are_in_the_lifecycle_only),
        cmocka_unit_test(test_lateness_is_by_date),
        cmocka_unit_test(test_the_current_review_is_the_latest_answer),
        cmocka_unit_test(test_versions_of_products),
        cmocka_unit_test(test_facts_name_the_version_valid_at_the_purchase),
        cmocka_unit_test(test_a_person_is_not_a_customer_id),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_every_dimension_has_the_unknown_member),
        cmocka_unit_test(test_the_calendar),
        cmocka_unit_test(test_aggregates_give_the_facts_totals),
        cmocka_unit_test(test_persons_by_recency_frequency_and_money),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
