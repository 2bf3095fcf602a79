"""What doctor says about Debezium's connectors, against answers as Kafka Connect gives them."""

import contextlib
import http.server
import json
import threading

import pytest
from conftest import ROOT, Millrace, free_port

GOOD = json.loads((ROOT / "debezium" / "connector_config.json").read_text(encoding="utf8"))["config"]


@contextlib.contextmanager
def kafka_connect(answer, status=200):
    body = json.dumps(answer).encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            assert self.path == "/connectors?expand=info&expand=status"
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def connector(trace=None, **changes):
    """The recommended one with changes; None takes a setting out."""
    config = {**GOOD, **{name.replace("__", "."): value for name, value in changes.items()}}
    task = {"id": 0, "state": "FAILED", "trace": trace} if trace else {"id": 0, "state": "RUNNING"}
    return {"info": {"config": {name: value for name, value in config.items() if value is not None}},
            "status": {"connector": {"state": "RUNNING"}, "tasks": [task]}}


@pytest.fixture
def doctor(tmp_path):
    program = Millrace(tmp_path / "home", "")

    def run(*args):
        return program.command("doctor", *args, check=False)
    return run


def findings(text, what):
    return [line for line in text.splitlines() if line[6:].startswith(what + " ")]


def test_recommended_connector_is_good(doctor):
    with kafka_connect({"shop": connector()}) as url:
        text = doctor("--connect", url).stdout
    of_connector = text[text.index("Kafka Connect"):].splitlines()[1:-1]
    assert not [line for line in of_connector if line.startswith("bad")], text
    # whether the worker is exactly-once is not for a connector's configuration to say
    assert [line.split()[1] for line in of_connector if line.startswith("warn")] == ["exactly.once.support"], text


@pytest.mark.parametrize("name, value, verdict, says", [
    ("plugin__name", None, "bad", "pgoutput"),
    ("decimal__handling__mode", "double", "bad", "money"),
    ("decimal__handling__mode", None, "warn", "NaN"),
    ("time__precision__mode", "connect", "bad", "microseconds"),
    ("value__converter", "io.confluent.connect.avro.AvroConverter", "bad", "not JSON"),
    ("value__converter", None, "warn", "worker"),
    ("value__converter__schemas__enable", "false", "warn", "types"),
    ("value__converter__replace__null__with__default", None, "warn", "NULL"),
    ("tombstones__on__delete", "false", "warn", "deleted"),
    ("skipped__operations", None, "warn", "TRUNCATE"),
    ("skipped__operations", "d,t", "bad", "not seen"),
    ("snapshot__mode", "initial_only", "bad", "no change"),
    ("snapshot__mode", "no_data", "warn", "missing"),
    ("binary__handling__mode", "hex", "warn", "bytea"),
    ("heartbeat__interval__ms", None, "warn", "idle"),
    ("publication__autocreate__mode", None, "warn", "without a key"),
    ("unavailable__value__placeholder", "?", "warn", "placeholder"),
])
def test_setting(doctor, name, value, verdict, says):
    with kafka_connect({"shop": connector(**{name: value})}) as url:
        result = doctor("--connect", url)
    lines = findings(result.stdout, name.replace("__", "."))
    assert len(lines) == 1 and lines[0].startswith(verdict), result.stdout
    assert says in result.stdout, result.stdout
    assert result.returncode == 1 or verdict != "bad"


def test_transforms_and_masks(doctor):
    unwrapped = connector(transforms="route, unwrap", transforms__route__type="org.example.Route",
                          transforms__unwrap__type="io.debezium.transforms.ExtractNewRecordState",
                          column__mask__with__12__chars="public.customers.name")
    with kafka_connect({"shop": unwrapped}) as url:
        text = doctor("--connect", url, "--connector", "shop").stdout
    assert [line for line in findings(text, "transforms") if line.startswith("bad") and "unwrap" in line], text
    assert [line for line in findings(text, "masked columns") if line.startswith("warn")], text


def test_trace_and_wrong_places(doctor):
    with kafka_connect({"shop": connector(trace="ConnectException: no slot left\n\tat org.example.Main")}) as url:
        text = doctor("--connect", url).stdout
        assert [line for line in findings(text, "task state") if "no slot left" in line], text
        assert "org.example.Main" not in text
        assert "there is no connector other" in doctor("--connect", url, "--connector", "other").stdout
    with kafka_connect({"sink": connector(connector__class="org.example.Sink")}) as url:
        assert "none of Debezium" in doctor("--connect", url).stdout
        assert "is a org.example.Sink" in doctor("--connect", url, "--connector", "sink").stdout
    with kafka_connect(["sink"]) as url:
        assert "not as Kafka Connect does" in doctor("--connect", url).stdout
    with kafka_connect({}, status=500) as url:
        assert "answers 500" in doctor("--connect", url).stdout
    assert doctor("--connect", f"http://127.0.0.1:{free_port()}").returncode == 1
    assert doctor("--connector", "shop").returncode == 2
