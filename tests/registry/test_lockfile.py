"""`bascule.lock`: what is written is read back, and nothing else is read."""

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ConfigError
from gateway.model import PinState
from gateway.registry import lockfile, pins
from gateway.registry.lockfile import Entry, Version


def version(name: str, description: str = "x") -> Version:
    definition = {"name": name, "description": description}
    return Version(pins.digest(definition), definition, "2026-11-22T00:00:00Z")


LOCK = {
    "files": {
        "read": Entry(PinState.ACCEPTED, version("read"), None),
        "write": Entry(PinState.DRIFTED, version("write"), version("write", "y"), listed=False),
        "new": Entry(PinState.WAITING, None, version("new", "caf\u00e9 \u200b \U0001f600")),
        "bad": Entry(PinState.QUARANTINED, None, version("bad")),
    },
    "empty": {},
}


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "bascule.lock"
    lockfile.write(file, LOCK)
    assert lockfile.load(file) == LOCK
    assert [path.name for path in tmp_path.iterdir()] == ["bascule.lock"]


def test_the_file_is_sorted_indented_ascii_json(tmp_path: Path) -> None:
    text = lockfile.dump(LOCK).decode("ascii")
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"
    assert "caf\\u00e9 \\u200b \\ud83d\\ude00" in text


def test_a_missing_file_is_an_empty_lock(tmp_path: Path) -> None:
    assert lockfile.load(tmp_path / "bascule.lock") == {}


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "bascule.lock"
    lockfile.write(file, LOCK)

    def broken(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="No space"):
        lockfile.write(file, {})
    monkeypatch.undo()
    assert lockfile.load(file) == LOCK
    assert [path.name for path in tmp_path.iterdir()] == ["bascule.lock"]


def test_what_a_crash_left_beside_the_file_does_not_matter(tmp_path: Path) -> None:
    file = tmp_path / "bascule.lock"
    (tmp_path / f".bascule.lock.{os.getpid()}.{threading.get_ident()}").write_text("half")
    lockfile.write(file, LOCK)
    assert lockfile.load(file) == LOCK


def test_writes_from_several_threads_leave_a_whole_file(tmp_path: Path) -> None:
    file = tmp_path / "bascule.lock"
    with ThreadPoolExecutor(8) as pool:
        for written in [pool.submit(lockfile.write, file, LOCK) for _ in range(40)]:
            written.result()
    assert lockfile.load(file) == LOCK
    assert [path.name for path in tmp_path.iterdir()] == ["bascule.lock"]


def changed(*path: str, to: Any = None, drop: bool = False) -> bytes:
    data = json.loads(lockfile.dump(LOCK))
    at = data
    for key in path[:-1]:
        at = at[key]
    if drop:
        del at[path[-1]]
    else:
        at[path[-1]] = to
    return json.dumps(data).encode()


READ = ("upstreams", "files", "tools", "read")


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b'{"version":1,"version":1,"upstreams":{}}', "not valid JSON"),
        (b"[]", "the file: must be an object"),
        (changed("version", to=2), "version: must be 1"),
        (changed("version", to=True), "version: must be 1"),
        (changed("other", to=1), "the file: holds the unknown key other"),
        (changed("upstreams", drop=True), "the file: lacks upstreams"),
        (changed("upstreams", to=[]), "upstreams: must be an object"),
        (changed("upstreams", "files", "more", to=1), "upstreams.files: holds the unknown key more"),
        (changed(*READ, "state", to="fine"), "tools.read.state: must be one of accepted, waiting"),
        (changed(*READ, "state", to=[]), "tools.read.state: must be one of"),
        (changed(*READ, "state", to="waiting"), "tools.read: a tool that is waiting cannot hold accepted"),
        (changed(*READ, "accepted", drop=True), "tools.read: a tool that is accepted cannot hold nothing"),
        (changed(*READ, "listed", to=1), "tools.read.listed: must be true or false"),
        (changed(*READ, "listed", drop=True), "tools.read: lacks listed"),
        (changed(*READ, "note", to=1), "tools.read: holds the unknown key note"),
        (changed(*READ, "accepted", to=1), "tools.read.accepted: must be an object"),
        (changed(*READ, "accepted", "digest", to="sha256:0"), "accepted.digest: is not the digest"),
        (changed(*READ, "accepted", "since", to=1), "accepted.since: must be a time"),
        (changed(*READ, "accepted", "definition", to="x"), "accepted.definition: must be an object"),
        (changed(*READ, "accepted", "definition", "description", to="evil"), "accepted.digest: is not the digest"),
        (changed(*READ, "accepted", "definition", "name", to="other"), "definition.name: must be read"),
        (changed(*READ, "accepted", "definition", "n", to=2**60), "accepted.definition: "),
    ],
)
def test_anything_else_is_refused_and_the_place_named(tmp_path: Path, data: bytes, place: str) -> None:
    file = tmp_path / "bascule.lock"
    file.write_bytes(data)
    with pytest.raises(ConfigError) as refused:
        lockfile.load(file)
    assert place in str(refused.value)
    assert str(file) in str(refused.value)
