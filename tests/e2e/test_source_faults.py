"""A source that is not as it must be: the start ends with one message (what, where, what to do) and the exit
code for a setting that must be changed; what may pass by itself is tried again while the rest works."""

import shutil
import tempfile

import psycopg
import pytest
import shoplib
from conftest import Postgres, wait_for
from faultlib import fails


@pytest.fixture
def role(database):
    """A role of the database's own name, with a password that only the server of `strict` asks for."""
    name = f"role_{database.name}"
    with database.connect() as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'right'")
    yield name
    with database.connect() as connection:
        connection.execute(f"DROP OWNED BY {name}")
        connection.execute(f"DROP ROLE {name}")


def as_role(millrace, shop, role, password=None):
    user = f"{role}:{password}" if password else role
    millrace.source = shop.address.replace("//shop@", f"//{user}@")


@pytest.fixture
def passwords(postgres, role):
    """The role must give its password; nobody else."""
    path = f"{postgres.folder}/data/pg_hba.conf"
    with open(path, encoding="utf8") as f:
        before = f.read()

    def write(text):
        with open(path, "w", encoding="utf8") as f:
            f.write(text)
        with postgres.connect("postgres") as admin:
            admin.execute("SELECT pg_reload_conf()")
    write(f"host all,replication {role} 127.0.0.1/32 scram-sha-256\n{before}")
    yield
    write(before)


def refused(address):
    try:
        psycopg.connect(address).close()
    except psycopg.OperationalError as error:
        return "password authentication failed" in str(error)
    return False


def test_wrong_password(millrace, shop, role, passwords):
    as_role(millrace, shop, role, "wrong-one")
    wait_for(lambda: refused(millrace.source), what="the server asks for passwords")
    for command in ("run", "check"):
        fails(millrace, command, code=3, says=["password authentication failed", role, "`source`"])
        assert "wrong-one" not in millrace.command(command, check=False).stderr
    doctor = millrace.command("doctor", check=False)
    assert doctor.returncode == 1
    assert "password authentication failed" in doctor.stdout and "wrong-one" not in doctor.stdout + doctor.stderr


def test_role_without_replication(millrace, shop, role):
    shop.run(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    shop.run("CREATE PUBLICATION millrace FOR TABLE orders, customers")
    as_role(millrace, shop, role)
    fails(millrace, "run", code=3, says=["replication", f'ALTER ROLE "{role}" REPLICATION'])
    assert f'ALTER ROLE "{role}" REPLICATION' in millrace.command("doctor", check=False).stdout
    shop.run(f"ALTER ROLE {role} REPLICATION")
    millrace.start()
    millrace.stop()


def test_role_that_may_not_read_a_table(millrace, shop, role):
    shop.run(f"ALTER ROLE {role} REPLICATION")
    shop.run(f"GRANT SELECT ON customers TO {role}")
    shop.run("CREATE PUBLICATION millrace FOR TABLE orders, customers")
    as_role(millrace, shop, role)
    fails(millrace, "run", code=3, says=["may not read public.orders", 'GRANT SELECT ON "public"."orders"'])
    assert "public.orders" in millrace.command("doctor", check=False).stdout


def test_right_to_read_is_lost_while_it_runs(millrace, shop, role):
    """The stream needs no right to read; what does, says so, and goes on once it has it."""
    shoplib.load_sample(shop, orders=20)
    shop.run(f"ALTER ROLE {role} REPLICATION")
    shop.run(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    shop.run("CREATE PUBLICATION millrace FOR ALL TABLES")
    as_role(millrace, shop, role)
    millrace.start()
    millrace.caught_up()
    shop.run(f"REVOKE SELECT ON orders FROM {role}")
    shop.run("UPDATE order_items SET price = price + 1")
    millrace.caught_up()
    fails(millrace, "check", code=3, says=["permission denied", "orders", "grant the role"])
    shop.run(f"GRANT SELECT ON orders TO {role}")
    millrace.command("check")


def test_publication_that_misses_a_table(millrace, shop):
    shoplib.load_sample(shop, orders=20)
    shop.run("CREATE PUBLICATION millrace FOR TABLE orders, customers")
    fails(millrace, "run", "--tables", "public.orders,public.sellers", code=3,
          says=["public.sellers", "not in publication millrace",
                'ALTER PUBLICATION "millrace" ADD TABLE "public"."sellers"'])
    assert "public.sellers" in millrace.command("doctor", check=False).stdout
    millrace.start()
    millrace.caught_up()
    assert millrace.query("SHOW TABLES FROM silver LIKE 'sellers'") == []
    shop.run("ALTER PUBLICATION millrace ADD TABLE sellers")
    shop.run("UPDATE sellers SET seller_city = 'x'")
    wait_for(lambda: millrace.query("SHOW TABLES FROM silver LIKE 'sellers'"), what="the new table")
    millrace.caught_up()
    assert millrace.scalar("SELECT count() FROM silver.sellers") == str(
        shop.run("SELECT count(*) FROM sellers")[0][0])
    millrace.command("check")


def test_publication_that_leaves_out_changes(millrace, shop):
    shop.run("CREATE PUBLICATION millrace FOR TABLE orders WITH (publish = 'insert')")
    fails(millrace, "run", code=3, says=["publication millrace leaves out changes", "ALTER PUBLICATION"])


def test_tables_without_key(millrace, shop):
    """With REPLICA IDENTITY DEFAULT PostgreSQL refuses the shop's own updates: Millrace does not publish such a
    table by itself and warns when the user does. With FULL everything works."""
    shop.run("CREATE TABLE plain (a int, b text); CREATE TABLE whole (a int, b text);"
             " ALTER TABLE whole REPLICA IDENTITY FULL;"
             " INSERT INTO plain VALUES (1, 'x'); INSERT INTO whole VALUES (1, 'x'), (1, 'x'), (2, 'y')")
    shop.run("CREATE PUBLICATION other FOR TABLE plain, whole")
    millrace.start("--publication", "other")
    millrace.caught_up()
    assert "table without key" in millrace.tail() and "public.plain" in millrace.tail()
    assert "REPLICA IDENTITY FULL" in millrace.tail()
    doctor = millrace.command("doctor", "--publication", "other", check=False).stdout
    assert "public.plain" in doctor and "REPLICA IDENTITY FULL" in doctor
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        shop.run("UPDATE plain SET b = 'z'")
    shop.run("INSERT INTO plain VALUES (2, 'y')")
    shop.run("UPDATE whole SET b = 'z' WHERE a = 2")
    shop.run("DELETE FROM whole WHERE ctid = (SELECT min(ctid) FROM whole WHERE a = 1)")
    millrace.caught_up()
    # an update of a row without key is its old content going and its new content coming
    assert millrace.query("SELECT _op, a, b FROM silver.whole_history ORDER BY _lsn, _ordinal, _op, a") == [
        ["r", "1", "x"], ["r", "1", "x"], ["r", "2", "y"], ["d", "2", "y"], ["u", "2", "z"], ["d", "1", "x"]]
    assert millrace.scalar("SELECT count() FROM silver.plain_history") == "2"
    millrace.command("check")


def test_a_table_without_key_is_not_published_by_itself(millrace, shop):
    shop.run("CREATE TABLE plain (a int)")
    millrace.start()
    millrace.caught_up()
    published = shop.run("SELECT tablename FROM pg_publication_tables WHERE pubname = 'millrace'")
    assert ("plain",) not in published and ("orders",) in published
    shop.run("INSERT INTO plain VALUES (1)")
    shop.run("UPDATE plain SET a = 2")
    assert "public.plain" in millrace.command("doctor").stdout
    assert "public.plain" in millrace.tail()


def test_slot_of_somebody_else(millrace, shop):
    shop.run("SELECT pg_create_logical_replication_slot('millrace', 'pgoutput')")
    fails(millrace, "run", code=3, says=["slot millrace exists", "pg_drop_replication_slot", "resync --slot"])
    shop.run("SELECT pg_drop_replication_slot('millrace')")
    shop.run("SELECT pg_create_logical_replication_slot('millrace', 'test_decoding')")
    fails(millrace, "run", code=3, says=["slot millrace exists"])


def test_wal_level(millrace):
    """A server of its own: the setting needs a restart."""
    folder = tempfile.mkdtemp(prefix="millrace-pg-", dir="/var/tmp")
    server = Postgres(folder)
    try:
        server.create()
        with open(f"{folder}/data/postgresql.conf", "a", encoding="utf8") as conf:
            conf.write("wal_level=replica\n")
        server.start()
        millrace.source = server.address("postgres")
        fails(millrace, "run", code=3, says=["wal_level", "ALTER SYSTEM SET wal_level = logical", "restart"])
        assert "ALTER SYSTEM SET wal_level = logical" in millrace.command("doctor", check=False).stdout
    finally:
        server.stop("immediate")
        shutil.rmtree(folder)


def test_ddl_during_the_first_copy_waits_for_it_and_for_nothing_else(millrace, shop):
    """A reader that comes to a table behind an ALTER which waits for another reader would wait for ever."""
    for table in ("first", "second"):
        shop.run(f"CREATE TABLE {table} (id bigint PRIMARY KEY, note text)")
        shop.run(f"INSERT INTO {table} SELECT g, repeat(md5(g::text), 8) FROM generate_series(1, 30000) g")
    millrace.start("--copy-workers", "2", "--flush-bytes", "64KB", wait=False)
    wait_for(lambda: shop.run("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'COPY%first%'"), what="a copy of first")
    shop.run("ALTER TABLE second ADD COLUMN more int DEFAULT 5")
    millrace.caught_up()
    millrace.command("check")
