"""`millrace setup --capture debezium`: the connector for Kafka Connect, filled from settings and source."""

import json

from conftest import ROOT


def connector_of(text):
    return json.loads(text)


def with_password(millrace):
    return millrace.source.replace("shop@", "shop:s3cret@", 1)


def test_connector_goes_to_stdout_alone(millrace, shop):
    millrace.source = with_password(millrace)
    result = millrace.command("setup", "--capture", "debezium", "--tables", "public.orders,public.customers",
                              "--topic-prefix", "store", "--slot", "store_slot")
    config = connector_of(result.stdout)["config"]
    assert "s3cret" not in result.stdout + result.stderr
    assert "CREATE PUBLICATION" in result.stderr
    assert config["database.port"] == str(shop.server.port) and config["database.dbname"] == shop.name
    assert config["database.user"] == "millrace"
    assert config["database.password"] == "${MILLRACE_SOURCE_PASSWORD}"
    assert config["table.include.list"] == "public.customers,public.orders"
    assert (config["topic.prefix"], config["slot.name"]) == ("store", "store_slot")
    # the publication is there now, and the connector's role does not own it
    assert config["publication.autocreate.mode"] == "disabled"


def test_password_only_when_asked_and_of_that_role(millrace, tmp_path):
    millrace.source = with_password(millrace)
    file = tmp_path / "connector.json"
    millrace.command("setup", "--capture", "debezium", "--output", str(file), "--with-password", "--role", "shop")
    assert connector_of(file.read_text(encoding="utf8"))["config"]["database.password"] == "s3cret"
    assert file.stat().st_mode & 0o077 == 0, "others may read the password"
    refused = millrace.command("setup", "--capture", "debezium", "--with-password", check=False)
    assert refused.returncode == 3 and "password of shop, not of millrace" in refused.stderr
    assert "s3cret" not in refused.stdout + refused.stderr


def test_wrong_calls(millrace):
    for args, says in [(["--capture", "oracle"], "millrace or debezium"), (["--output", "f"], "--capture debezium"),
                       (["--capture", "debezium", "--sql"], "--output")]:
        result = millrace.command("setup", *args, check=False)
        assert result.returncode == 2 and says in result.stderr, result.stderr


def test_without_source_the_form_is_for_the_sample_shop(millrace, tmp_path):
    millrace.source = ""
    file = tmp_path / "connector.json"
    millrace.command("setup", "--capture", "debezium", "--sql", "--output", str(file))
    made = connector_of(file.read_text(encoding="utf8"))["config"]
    form = json.loads((ROOT / "debezium" / "connector_config.json").read_text(encoding="utf8"))["config"]
    assert made.keys() == form.keys()
    assert made["table.include.list"].count("public.") == 9
    assert "${MILLRACE" not in json.dumps({k: v for k, v in made.items() if k != "database.password"})
