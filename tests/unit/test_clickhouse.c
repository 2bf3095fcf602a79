/* The ClickHouse HTTP protocol over a real engine in a temporary folder, asked through libcurl.
 * With the argument `serve` it prints its port and serves until standard input ends, for trying a
 * client by hand. */
#include "unit.h"

#include "serve/clickhouse/clickhouse.h"
#include "serve/clickhouse/codec.h"
#include "serve/clickhouse/request.h"
#include "serve/clickhouse/tokens.h"

#include "base/clock.h"
#include "engine/engine.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <curl/curl.h>

static char home[] = "/tmp/millrace-clickhouse-XXXXXX";
static struct config config;
static struct flow flow;
static struct clickhouse_server *server;
static struct engine_conn *conn;

static void fill(void)
{
    struct error err = {0};
    static const char *const statements[] = {
        "CREATE TABLE fact_orders (order_id String, order_date DateTime, total_amount Decimal(12,2))"
        " ENGINE = MergeTree ORDER BY order_id",
        "INSERT INTO fact_orders SELECT leftPad(toString(number), 6, '0'), toDateTime('2018-01-01') +"
        " number * 3600, toDecimal64(number, 2) / 4 FROM numbers(2000)",
        "CREATE DATABASE silver",
        "CREATE VIEW silver.secret_file AS SELECT * FROM file('inside.csv', 'CSV', 'a Int32, b String')",
    };
    unit_ok(file_write_atomic("inside.csv", SLICE("1,seen through the view\n"), &err));
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
        unit_ok(engine_run(conn, statements[i], &err));
}

static int set_up(void **state)
{
    (void)state;
    struct error err = {0};
    assert_non_null(mkdtemp(home));
    config_init(&config);
    unit_ok(config_set(&config, "clickhouse_port", "0", &err));
    unit_ok(config_set(&config, "query_seconds_max", "10", &err));
    char *storage = mem_format("%s/warehouse", home);
    unit_ok(engine_open("", home, storage, config.engine_memory_bytes, &err));
    mem_free(storage);
    unit_ok(engine_connect(&conn, NULL, &err));
    fill();
    flow.config = &config;
    flow.warehouse_lsn = UINT64_C(0x116B3748);
    flow.warehouse_commit_us = INT64_C(1514764800000000);
    unit_ok(clickhouse_start(&server, &flow, &err));
    curl_global_init(CURL_GLOBAL_DEFAULT);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    struct error err = {0};
    clickhouse_stop(server);
    engine_disconnect(conn);
    engine_close();
    config_free(&config);
    unit_ok(file_remove_tree(home, &err));
    return 0;
}

/* --- a small client --- */

struct reply {
    long status;
    struct buf body, headers;
};

static size_t collect(char *data, size_t size, size_t count, void *arg)
{
    buf_put(arg, data, size * count);
    return size * count;
}

static void reply_free(struct reply *r)
{
    buf_free(&r->body);
    buf_free(&r->headers);
}

/* post NULL: GET. headers: up to one, may be NULL. */
static struct reply ask(const char *path, struct slice post, const char *header)
{
    struct reply r = {0};
    CURL *c = curl_easy_init();
    char *url = mem_format("http://127.0.0.1:%d%s", clickhouse_port(server), path);
    struct curl_slist *list = header ? curl_slist_append(NULL, header) : NULL;
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &r.body);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, collect);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, &r.headers);
    if (post.data) {
        curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, (long)post.len);
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, post.data);
    }
    CURLcode code = curl_easy_perform(c);
    if (code != CURLE_OK && code != CURLE_PARTIAL_FILE && code != CURLE_RECV_ERROR)
        fail_msg("%s: %s", path, curl_easy_strerror(code));
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &r.status);
    curl_slist_free_all(list);
    curl_easy_cleanup(c);
    mem_free(url);
    return r;
}

static struct reply post(const char *path, const char *sql)
{
    return ask(path, slice_of(sql), NULL);
}

static void assert_header(struct reply *r, const char *line)
{
    if (!strstr(buf_text(&r->headers), line)) fail_msg("no \"%s\" in:\n%s", line, buf_text(&r->headers));
}

static void assert_body(const char *path, const char *sql, const char *expected)
{
    struct reply r = post(path, sql);
    assert_string_equal(buf_text(&r.body), expected);
    assert_int_equal(r.status, 200);
    reply_free(&r);
}

static void assert_refused(const char *path, const char *sql, long status, int code)
{
    struct reply r = post(path, sql);
    char *header = mem_format("X-ClickHouse-Exception-Code: %d\r\n", code);
    if (r.status != status) fail_msg("%s: %ld %s", sql, r.status, buf_text(&r.body));
    assert_header(&r, header);
    char *start = mem_format("Code: %d. DB::Exception: ", code);
    assert_memory_equal(buf_text(&r.body), start, strlen(start));
    mem_free(start);
    mem_free(header);
    reply_free(&r);
}

/* --- tests --- */

static void it_answers_a_ping(void **state)
{
    (void)state;
    const char *const pages[] = {"/", "/ping", "/replicas_status"};
    for (size_t i = 0; i < 3; i++) {
        struct reply r = ask(pages[i], (struct slice){NULL, 0}, NULL);
        assert_int_equal(r.status, 200);
        assert_string_equal(buf_text(&r.body), "Ok.\n");
        reply_free(&r);
    }
    struct reply r = ask("/nothing", (struct slice){NULL, 0}, NULL);
    assert_int_equal(r.status, 404);
    reply_free(&r);
}

static void statements_come_by_url_body_or_both(void **state)
{
    (void)state;
    struct reply r = ask("/?query=SELECT+1", (struct slice){NULL, 0}, NULL);
    assert_string_equal(buf_text(&r.body), "1\n");
    reply_free(&r);
    assert_body("/", "SELECT 2", "2\n");
    assert_body("/?query=SELECT", "3;", "3\n");
    assert_body("/", "SELECT 4 AS a;\n FORMAT JSONEachRow", "{\"a\":4}\n");
    assert_refused("/", "SELECT 4; SELECT 5 FORMAT CSV", 400, 62);
    assert_body("/?default_format=JSONEachRow", "SELECT 1 AS a", "{\"a\":1}\n");
    assert_body("/?default_format=JSONEachRow", "SELECT 1 AS a\n FORMAT TSV", "1\n");
    assert_body("/?wait_end_of_query=1", "SELECT 1 AS a\n FORMAT CSV", "1\n");
    assert_body("/?param_a=4&param_s=it%5C%27s%5Ct", "SELECT {a:UInt8} + 1, {s:String} = 'it\\'s\\t'",
                "5\t1\n");
    assert_body("/?database=silver", "SELECT currentDatabase()", "silver\n");
    assert_body("/?database=system", "SELECT currentDatabase()", "system\n");
    assert_body("/", "SELECT currentDatabase()", "default\n");
    assert_body("/?max_block_size=7", "SELECT getSetting('max_block_size')", "7\n");
    assert_body("/", "SELECT getSetting('max_block_size') > 7", "1\n");
}

static void answers_carry_the_headers_of_clickhouse(void **state)
{
    (void)state;
    struct reply r =
        post("/?query_id=abc&wait_end_of_query=1", "SELECT count() FROM fact_orders FORMAT JSON");
    assert_int_equal(r.status, 200);
    assert_header(&r, "X-ClickHouse-Query-Id: abc\r\n");
    assert_header(&r, "X-ClickHouse-Format: JSON\r\n");
    assert_header(&r, "X-ClickHouse-Timezone: UTC\r\n");
    assert_header(&r, "X-ClickHouse-Server-Display-Name: millrace\r\n");
    assert_header(&r, "X-ClickHouse-Summary: {\"read_rows\":\"2000\"");
    assert_header(&r, "\"result_rows\":\"1\"");
    assert_header(&r, "Content-Type: application/json; charset=UTF-8\r\n");
    assert_header(&r, "X-Millrace-LSN: 0/116B3748\r\n");
    assert_header(&r, "X-Millrace-Commit-Time: 2018-01-01T00:00:00");
    reply_free(&r);
    r = post("/?query_id=", "SELECT 1");
    assert_header(&r, "Content-Type: text/tab-separated-values; charset=UTF-8\r\n");
    assert_null(strstr(buf_text(&r.headers), "X-ClickHouse-Query-Id: \r\n"));
    reply_free(&r);
}

static void errors_have_their_status_and_code(void **state)
{
    (void)state;
    assert_refused("/", "selec 1", 400, 62);
    assert_refused("/", "", 400, 62);
    assert_refused("/", "SELECT * FROM nowhere", 404, 60);
    assert_refused("/", "SELECT nothing", 404, 47);
    assert_refused("/", "SELECT nofunction(1)", 404, 46);
    assert_refused("/?database=nope", "SELECT 1", 404, 81);
    assert_refused("/?nosetting=1", "SELECT 1", 404, 115);
    assert_refused("/?default_format=NoFormat", "SELECT 1", 404, 73);
    assert_refused("/", "SELECT throwIf(1)", 500, 395);
    assert_refused("/?max_execution_time=1",
                   "SELECT count() FROM numbers(1e12) WHERE NOT ignore(sipHash64(number))", 408, 159);
    assert_refused("/", "SELECT groupArray(number) FROM numbers(1e9)", 500, 241);
    assert_body("/", "SELECT 1", "1\n");
}

static void nothing_is_written(void **state)
{
    (void)state;
    assert_refused("/", "INSERT INTO fact_orders (order_id) VALUES ('x')", 500, 164);
    assert_refused("/?readonly=0", "DROP TABLE fact_orders", 500, 164);
    assert_refused("/", "CREATE TEMPORARY TABLE t (a Int8)", 500, 164);
    assert_refused("/", "SYSTEM FLUSH LOGS", 500, 164);
    assert_refused("/", "SELECT 1 INTO OUTFILE 'x'", 500, 164);
    assert_refused("/", "SELECT 1; SELECT 2", 400, 62);
    assert_body("/", "SELECT count() FROM fact_orders", "2000\n");
}

static void files_network_and_secrets_are_out_of_reach(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "SELECT * FROM file('inside.csv')",
        "SELECT * FROM FILE('inside.csv')",
        "SELECT * FROM `file`('inside.csv')",
        "SELECT file('inside.csv')",
        "SELECT (SELECT file('inside.csv') AS x) FROM fact_orders",
        "WITH (x -> file(x)) AS f SELECT f('inside.csv')",
        "SELECT * FROM `inside.csv`",
        "SELECT * FROM 'inside.csv'",
        "SELECT * FROM default.`inside.csv`",
        "SELECT * FROM \"inside.*\"",
        "SELECT 1 IN `inside.csv`",
        "SELECT (1 IN (1)) IN `inside.csv`",
        "SELECT 1 IN default.`inside.csv`",
        "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')",
        "SELECT * FROM s3('http://127.0.0.1:1/x')",
        "SELECT * FROM remote('127.0.0.1', system.one)",
        "SELECT * FROM postgresql('127.0.0.1:1', 'd', 't', 'u', 'p')",
        "SELECT * FROM executable('x', 'TSV', 'a String')",
        "SELECT * FROM deltaLakeLocal('/tmp')",
        "SELECT * FROM merge('system', '.*')",
        "SELECT * FROM view(SELECT * FROM file('inside.csv'))",
        "SELECT * FROM eval('SELECT 1')",
        "SELECT 1 WHERE 1 IN (SELECT a FROM file('inside.csv', 'CSV', 'a Int32'))",
        "DESCRIBE TABLE file('inside.csv')",
        "DESCRIBE `inside.csv`",
        "EXPLAIN SELECT * FROM file('inside.csv')",
        "EXPLAIN TABLE OVERRIDE file('inside.csv') COLUMNS (a Int8)",
        "SELECT 1 UNION ALL SELECT a FROM file('inside.csv', 'CSV', 'a Int32')",
        "SELECT * FROM system.server_settings",
        "SELECT * FROM system.named_collections",
        "SELECT 1 IN system.users",
        "SELECT aiGenerate('x')",
        "SELECT 'a' AS `x\nTableIdentifier y`",
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        assert_refused("/", refused[i], 403, 497);
    assert_refused("/?database=system", "SELECT * FROM server_settings", 403, 497);
    assert_refused("/?param_t=inside.csv", "SELECT * FROM {t:Identifier}", 403, 497);
    assert_refused("/?dialect=prql", "from x", 500, 452);
    assert_refused("/", "SELECT 1 SETTINGS max_threads = 64", 500, 452);
    assert_refused("/", "SELECT 1 SETTINGS `readonly` = 0", 500, 452);
    static const char *const carriers[] = {"additional_result_filter",
                                           "additional_table_filters",
                                           "implicit_table_at_top_level",
                                           "format_template_resultset",
                                           "format_schema",
                                           "parallel_replicas_custom_key",
                                           "format_display_secrets_in_show_and_select",
                                           "url_base",
                                           NULL};
    for (const char *const *name = carriers; *name; name++) {
        char *path = mem_format("/?%s=1", *name), *sql = mem_format("SELECT 1 SETTINGS %s = '1'", *name);
        assert_refused(path, "SELECT 1", 500, 452);
        assert_refused("/", sql, 500, 452);
        mem_free(path);
        mem_free(sql);
    }
    assert_body("/", "SELECT number AS priority FROM numbers(3) WHERE priority = 2", "2\n");
    assert_body("/?format_csv_null_representation=x", "SELECT NULL FORMAT CSV", "x\n");
    assert_body("/?max_threads=64", "SELECT getSetting('max_threads')", "2\n");
    assert_body("/", "SELECT 1 SETTINGS max_threads = 1", "1\n");
    /* a view of the warehouse may */
    assert_body("/", "SELECT * FROM silver.secret_file", "1\tseen through the view\n");
}

static void ordinary_statements_pass(void **state)
{
    (void)state;
    assert_body("/", "WITH x AS (SELECT 1 AS a) SELECT * FROM x", "1\n");
    assert_body("/", "SELECT sum(number) FROM numbers(4) WHERE number IN (1, 2)", "3\n");
    assert_body("/", "SELECT 1 AS \"A / B\" ORDER BY \"A / B\"", "1\n");
    assert_body("/", "SELECT count(*) AS `count(*)` FROM fact_orders ORDER BY `count(*)`", "2000\n");
    assert_body("/", "SELECT 'max_threads' = 'x' /* SETTINGS readonly = 0 */ -- readonly = 0", "0\n");
    assert_body("/", "SHOW TABLES FROM `default` LIKE 'fact%'", "fact_orders\n");
    assert_body("/", "EXISTS TABLE default.fact_orders", "1\n");
    assert_body("/", "SELECT name FROM system.columns WHERE table = 'fact_orders' AND position = 1",
                "order_id\n");
    assert_body("/",
                "SELECT toString(toStartOfMonth(order_date)) AS m, count() FROM default.fact_orders"
                " WHERE order_date >= toDateTime('2018-03-01 00:00:00') GROUP BY m ORDER BY m LIMIT 1",
                "2018-03-01\t584\n");
    struct reply r =
        post("/", "SELECT name, value, readonly FROM system.settings LIMIT 10000\n FORMAT Native");
    assert_int_equal(r.status, 200);
    assert_true(r.body.len > 20000);
    reply_free(&r);
    r = post(
        "/",
        "SELECT name FROM system.functions UNION ALL SELECT name FROM system.table_functions LIMIT 10000");
    assert_int_equal(r.status, 200);
    reply_free(&r);
    r = post("/", "DESCRIBE TABLE fact_orders");
    assert_int_equal(r.status, 200);
    reply_free(&r);
}

static void long_answers_flow_and_tell_late_errors(void **state)
{
    (void)state;
    struct reply r = post("/", "SELECT number FROM numbers(1000000)");
    assert_int_equal(r.status, 200);
    assert_header(&r, "X-ClickHouse-Exception-Tag: ");
    assert_int_equal(r.body.len, 6888890);
    reply_free(&r);
    r = post("/?max_block_size=10000", "SELECT throwIf(number = 900000), number FROM numbers(1000000)");
    assert_int_equal(r.status, 200);
    assert_non_null(strstr(buf_text(&r.body), "\r\n__exception__\r\n"));
    assert_non_null(strstr(buf_text(&r.body), "Code: 395. DB::Exception"));
    reply_free(&r);
    r = post("/?wait_end_of_query=1&max_block_size=10000",
             "SELECT throwIf(number = 900000), number FROM numbers(1000000)");
    assert_int_equal(r.status, 500);
    reply_free(&r);
    assert_body("/", "SELECT 1", "1\n");
}

static void assert_packed(const char *path, const char *accept, enum codec_kind kind, const char *encoding)
{
    struct error err = {0};
    for (int rows = 3; rows < 3000000; rows *= 1000) {
        char *sql = mem_format("SELECT number FROM numbers(%d)", rows);
        struct reply r = ask(path, slice_of(sql), accept);
        struct buf plain = {0};
        assert_int_equal(r.status, 200);
        if (encoding) assert_header(&r, encoding);
        unit_ok(codec_unpack(kind, buf_slice(&r.body), &plain, &err));
        assert_int_equal(plain.data[plain.len - 1], '\n');
        assert_int_equal(plain.len, rows == 3 ? 6 : rows == 3000 ? 13890 : 0);
        buf_free(&plain);
        reply_free(&r);
        mem_free(sql);
    }
}

static void answers_are_compressed_as_asked(void **state)
{
    (void)state;
    const char *url = "/?enable_http_compression=1";
    assert_packed(url, "Accept-Encoding: gzip", CODEC_GZIP, "Content-Encoding: gzip");
    assert_packed(url, "Accept-Encoding: deflate", CODEC_DEFLATE, "Content-Encoding: deflate");
    assert_packed(url, "Accept-Encoding: lz4,zstd,br,gzip,deflate", CODEC_ZSTD, "Content-Encoding: zstd");
    assert_packed(url, "Accept-Encoding: lz4", CODEC_LZ4, "Content-Encoding: lz4");
    assert_packed("/?compress=1", NULL, CODEC_FRAMES, NULL);
    struct reply r = ask("/", SLICE("SELECT 1"), "Accept-Encoding: gzip");
    assert_string_equal(buf_text(&r.body), "1\n");
    reply_free(&r);
}

static void requests_may_be_compressed(void **state)
{
    (void)state;
    struct error err = {0};
    static const struct {
        enum codec_kind kind;
        const char *path, *header;
    } cases[] = {{CODEC_GZIP, "/", "Content-Encoding: gzip"},
                 {CODEC_ZSTD, "/", "Content-Encoding: zstd"},
                 {CODEC_LZ4, "/", "Content-Encoding: lz4"},
                 {CODEC_FRAMES, "/?decompress=1", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buf packed = {0};
        struct codec *c = codec_new(cases[i].kind);
        unit_ok(codec_put(c, SLICE("SELECT 'packed'"), true, &packed, &err));
        codec_free(c);
        struct reply r = ask(cases[i].path, buf_slice(&packed), cases[i].header);
        assert_string_equal(buf_text(&r.body), "packed\n");
        reply_free(&r);
        buf_free(&packed);
    }
    struct reply r = ask("/", SLICE("not packed"), "Content-Encoding: gzip");
    assert_int_equal(r.status, 400);
    reply_free(&r);
}

static void sessions_keep_set_and_use(void **state)
{
    (void)state;
    assert_body("/?session_id=a", "SET max_block_size = 11", "");
    assert_body("/?session_id=a", "USE silver", "");
    assert_body("/?session_id=a", "SELECT getSetting('max_block_size'), currentDatabase()", "11\tsilver\n");
    assert_body("/?session_id=b", "SELECT currentDatabase()", "default\n");
    assert_refused("/?session_id=c&session_check=1", "SELECT 1", 404, 372);
    assert_refused("/?session_id=a", "SET nosetting = 1", 404, 115);
}

static int connect_raw(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)clickhouse_port(server)),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static int64_t running_of(const char *mark)
{
    struct error err = {0};
    int64_t n = -1;
    char *sql = mem_format("SELECT count() FROM system.processes WHERE query LIKE '%%%s%%'"
                           " AND query NOT LIKE '%%processes%%'",
                           mark);
    unit_ok(engine_number(conn, sql, &n, &err));
    mem_free(sql);
    return n;
}

static void wait_until(const char *mark, int64_t count)
{
    int64_t until = clock_mono_us() + 8000000;
    while (running_of(mark) != count) {
        if (clock_mono_us() > until) fail_msg("%s: not %d running", mark, (int)count);
        clock_sleep_us(5000);
    }
}

static int start_long(const char *id)
{
    int fd = connect_raw();
    char *request = mem_format("GET /?query_id=%s&query=SELECT+count()+FROM+numbers(1e12)+WHERE+NOT+"
                               "ignore(sipHash64(number,'%s')) HTTP/1.1\r\nHost: localhost\r\n\r\n",
                               id, id);
    assert_int_equal(write(fd, request, strlen(request)), strlen(request));
    mem_free(request);
    return fd;
}

static void a_client_that_goes_away_takes_its_statement_along(void **state)
{
    (void)state;
    int fd = start_long("leaver");
    wait_until("leaver", 1);
    close(fd);
    wait_until("leaver", 0);
}

static void statements_can_be_killed(void **state)
{
    (void)state;
    int fd = start_long("victim");
    wait_until("victim", 1);
    assert_refused("/?query_id=victim", "SELECT 1", 500, 216);
    assert_body("/", "KILL QUERY WHERE query_id = 'victim'", "waiting\tvictim\tdefault\t\n");
    char answer[4096];
    ssize_t n = read(fd, answer, sizeof answer - 1);
    assert_true(n > 0);
    answer[n] = '\0';
    assert_non_null(strstr(answer, "X-ClickHouse-Exception-Code: 394\r\n"));
    close(fd);
    assert_body("/", "KILL QUERY WHERE query_id = 'nobody'", "");
}

static void multipart_bodies_carry_statement_and_parameters(void **state)
{
    (void)state;
    static const char body[] =
        "--xyz\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nSELECT {a:UInt8}\r\n"
        "--xyz\r\nContent-Disposition: form-data; name=\"param_a\"\r\n\r\n7\r\n--xyz--\r\n";
    struct reply r = ask("/", SLICE(body), "Content-Type: multipart/form-data; boundary=xyz");
    assert_string_equal(buf_text(&r.body), "7\n");
    reply_free(&r);
}

static void another_user_or_password_is_refused(void **state)
{
    (void)state;
    assert_body("/?user=default&password=", "SELECT 1", "1\n");
    assert_refused("/?user=admin", "SELECT 1", 403, 516);
    assert_refused("/?password=wrong", "SELECT 1", 403, 516);
    struct reply r = ask("/", SLICE("SELECT 1"), "Authorization: Bearer x");
    assert_int_equal(r.status, 403);
    reply_free(&r);
    r = ask("/", SLICE("SELECT 1"), "Host: evil.example");
    assert_int_equal(r.status, 403);
    reply_free(&r);
}

static void a_password_is_asked_for_and_opens(void **state)
{
    (void)state;
    struct error err = {0};
    struct clickhouse_server *open = server;
    struct config locked;
    struct flow locked_flow = {.config = &locked};
    config_init(&locked);
    unit_ok(config_set(&locked, "clickhouse_port", "0", &err));
    unit_ok(config_set(&locked, "listen", "0.0.0.0", &err));
    assert_false(clickhouse_start(&server, &locked_flow, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    unit_ok(config_set(&locked, "password", "s3cret", &err));
    unit_ok(clickhouse_start(&server, &locked_flow, &err));
    assert_refused("/", "SELECT 1", 401, 194);
    assert_refused("/?user=default&password=s3cre", "SELECT 1", 403, 516);
    assert_body("/?user=default&password=s3cret", "SELECT 1", "1\n");
    struct reply r = ask("/", SLICE("SELECT 1"), "X-ClickHouse-Key: s3cret");
    assert_string_equal(buf_text(&r.body), "1\n");
    reply_free(&r);
    r = ask("/", SLICE("SELECT 1"), "Authorization: Basic ZGVmYXVsdDpzM2NyZXQ=");
    assert_string_equal(buf_text(&r.body), "1\n");
    reply_free(&r);
    r = ask("/ping", (struct slice){NULL, 0}, "Origin: http://example.org");
    assert_header(&r, "Access-Control-Allow-Origin: *\r\n");
    reply_free(&r);
    clickhouse_stop(server);
    server = open;
    config_free(&locked);
}

static void *ask_one(void *arg)
{
    struct reply r = post("/", "SELECT count() FROM numbers(3000000) WHERE NOT ignore(sipHash64(number))");
    *(long *)arg = strcmp(buf_text(&r.body), "3000000\n") == 0 ? r.status : -r.status;
    reply_free(&r);
    return NULL;
}

/* More at once than there are slots: each waits its turn and is answered. */
static void many_clients_take_turns(void **state)
{
    (void)state;
    enum { CLIENTS = 24 };
    pthread_t threads[CLIENTS];
    long answers[CLIENTS] = {0};
    for (size_t i = 0; i < CLIENTS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_one, &answers[i]), 0);
    for (size_t i = 0; i < CLIENTS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(answers[i], 200);
    }
}

static void stopping_ends_what_runs(void **state)
{
    (void)state;
    struct error err = {0};
    struct clickhouse_server *other, *first = server;
    unit_ok(clickhouse_start(&other, &flow, &err));
    server = other;
    int fd = start_long("stopped");
    wait_until("stopped", 1);
    int64_t began = clock_mono_us();
    clickhouse_stop(other);
    server = first;
    assert_true(clock_mono_us() - began < 5000000);
    wait_until("stopped", 0);
    close(fd);
}

static void tokens_are_cut_as_the_engine_does(void **state)
{
    (void)state;
    static const struct {
        const char *sql, *format;
    } cases[] = {
        {"SELECT 1", NULL},
        {"SELECT 1 FORMAT JSON", "JSON"},
        {"SELECT 1\n format Native ;", "Native"},
        {"SELECT 1 FORMAT CSV SETTINGS max_threads = 1", "CSV"},
        {"SELECT 'x FORMAT JSON'", NULL},
        {"SELECT 1 -- FORMAT JSON", NULL},
        {"SELECT (SELECT 1 FORMAT x)", NULL},
        {"SELECT format FROM t", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *format = statement_format(slice_of(cases[i].sql));
        if (cases[i].format)
            assert_string_equal(format, cases[i].format);
        else
            assert_null(format);
        mem_free(format);
    }
}

/* Frames recorded from a ClickHouse driver's session. */
static void frames_have_the_known_hash(void **state)
{
    (void)state;
    struct error err = {0};
    static const char frame[] =
        "\xde\x79\xcf\x08\x7f\xb6\x35\x04\x9d\xb8\x16\xdf\x19\x5b\x01\x6b\x82\x0c\x00\x00\x00"
        "\x02\x00\x00\x00 1\n";
    struct buf plain = {0};
    unit_ok(codec_unpack(CODEC_FRAMES, SLICE(frame), &plain, &err));
    assert_string_equal(buf_text(&plain), "1\n");
    buf_clear(&plain);
    char broken[sizeof frame];
    memcpy(broken, frame, sizeof frame);
    broken[27] ^= 1;
    assert_false(codec_unpack(CODEC_FRAMES, (struct slice){broken, sizeof frame - 1}, &plain, &err));
    buf_free(&plain);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "serve") == 0) {
        set_up(NULL);
        printf("%d\n", clickhouse_port(server));
        fflush(stdout);
        while (getchar() != EOF) {
        }
        return tear_down(NULL);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_are_cut_as_the_engine_does),
        cmocka_unit_test(frames_have_the_known_hash),
        cmocka_unit_test(it_answers_a_ping),
        cmocka_unit_test(statements_come_by_url_body_or_both),
        cmocka_unit_test(answers_carry_the_headers_of_clickhouse),
        cmocka_unit_test(errors_have_their_status_and_code),
        cmocka_unit_test(nothing_is_written),
        cmocka_unit_test(files_network_and_secrets_are_out_of_reach),
        cmocka_unit_test(ordinary_statements_pass),
        cmocka_unit_test(long_answers_flow_and_tell_late_errors),
        cmocka_unit_test(answers_are_compressed_as_asked),
        cmocka_unit_test(requests_may_be_compressed),
        cmocka_unit_test(sessions_keep_set_and_use),
        cmocka_unit_test(a_client_that_goes_away_takes_its_statement_along),
        cmocka_unit_test(statements_can_be_killed),
        cmocka_unit_test(multipart_bodies_carry_statement_and_parameters),
        cmocka_unit_test(another_user_or_password_is_refused),
        cmocka_unit_test(a_password_is_asked_for_and_opens),
        cmocka_unit_test(many_clients_take_turns),
        cmocka_unit_test(stopping_ends_what_runs),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
