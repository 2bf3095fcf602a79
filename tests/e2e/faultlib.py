"""What the tests of bad luck share: how a command fails and what a running program shows; how files of the
lake are damaged and put back."""

import contextlib
import json
import pathlib

from conftest import wait_for


def fails(millrace, *args, code, says, env=None):
    """The command ends with this exit code and says each of these, in one line that stands for itself."""
    result = millrace.command(*args, check=False, env=env, timeout=30)
    text = result.stdout + result.stderr
    assert result.returncode == code, f"exit {result.returncode}: {text}"
    last = result.stderr.strip().splitlines()[-1] if code != 2 else text
    for part in says:
        assert part in last, f"{part!r} is not in: {text}"


def shows(millrace, *parts):
    """The status names what is wrong while the program goes on trying."""
    def text():
        return millrace.command("status", check=False).stdout
    wait_for(lambda: all(part in text() for part in parts), what=f"{parts} in the status")


def log_entries(folder):
    return sorted(pathlib.Path(folder, "_delta_log").glob("*.json"))


def live_files(folder):
    """The data files of a Delta table's newest version, oldest first."""
    files = {}
    for entry in log_entries(folder):
        for line in entry.read_text(encoding="utf8").splitlines():
            action = json.loads(line)
            if "remove" in action:
                files.pop(action["remove"]["path"], None)
            if "add" in action:
                files[action["add"]["path"]] = action["add"]
    return [pathlib.Path(folder, path) for path in files]


def cut(path):
    data = path.read_bytes()
    path.write_bytes(data[:len(data) // 2])


def garble(path):
    """Other bytes, the same length."""
    data = path.read_bytes()
    path.write_bytes(bytes(b ^ 0x5A for b in data))


def remove(path):
    path.unlink()


def unreadable(path):
    """Not by its rights, which mean nothing to root."""
    path.unlink()
    path.mkdir()


@contextlib.contextmanager
def damaged(path, how):
    data = path.read_bytes()
    how(path)
    try:
        yield
    finally:
        if path.is_dir():
            path.rmdir()
        path.write_bytes(data)
