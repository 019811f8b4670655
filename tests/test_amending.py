"""Changes to one upstream's entry: what is not meant stays byte for byte."""

from datetime import date
from pathlib import Path

import pytest

from gateway import amending, config
from gateway.errors import ConfigError
from gateway.settings import UpstreamSettings

HEAD = "version: 1\naudit: {origin: a/b}\n"
FLOW = (
    HEAD
    + "upstreams:\n  files: {command: npx, args: [-y, p], mode: shadow, until: 2027-01-31}  # mine\n  b: {url: http://x/}\n"
)
BLOCK = (
    HEAD
    + "upstreams:\n  files:\n    command: npx   # as I had it\n"
    + "    folders:\n      /srv/a: ro\n    mode: shadow\n    until: 2027-01-31\n"
)
JSON = '{"version": 1, "audit": {"origin": "a/b"}, "upstreams": {"files": {"command": "npx"}}}'


@pytest.mark.parametrize(
    ("text", "changes", "left"),
    [
        (FLOW, {"mode": None, "until": None}, ("{command: npx, args: [-y, p]}  # mine", "b: {url: http://x/}")),
        (FLOW, {"folders": {"/srv/a b": "rw"}}, ('until: 2027-01-31, folders: {"/srv/a b": rw}}  # mine',)),
        (FLOW, {"command": "uvx", "trust": "review"}, ('{command: "uvx", args: [-y, p],', "trust: review}  # mine")),
        (BLOCK, {"mode": None, "until": None}, ("npx   # as I had it\n    folders:\n      /srv/a: ro\n",)),
        (BLOCK, {"folders": {"/srv/a": "ro", "/b": "rw"}}, ('folders: {"/srv/a": ro, "/b": rw}\n    mode: shadow\n',)),
        (BLOCK, {"network": {"allow": ["a.example:443"]}}, ('2027-01-31\n    network: {allow: ["a.example:443"]}\n',)),
        (BLOCK.replace("\n", "\r\n"), {"trust": "review"}, ("2027-01-31\r\n    trust: review\r\n",)),
        (JSON, {"trust": "review"}, ('{"command": "npx", trust: review}',)),
    ],
)
def test_only_the_keys_that_are_meant_change(
    tmp_path: Path, text: str, changes: dict[str, object], left: tuple[str, ...]
) -> None:
    file = tmp_path / "bascule.yaml"
    file.write_bytes(text.encode())
    amending.amend(file, "files", changes)
    after = file.read_bytes().decode()
    assert all(part in after for part in left), after
    for key, value in changes.items():
        assert (key in after.partition("files")[2].partition("\n  b:")[0]) is (value is not None)


def test_what_would_be_no_configuration_is_not_written(tmp_path: Path) -> None:
    file = tmp_path / "bascule.yaml"
    file.write_text(FLOW)
    for changes, problem in (
        ({"until": None}, "needs its last day"),
        ({"sandbox": "../x"}, "sandbox"),
        ({"url": "http://x/"}, "one of the two"),
    ):
        with pytest.raises(ConfigError, match=problem):
            amending.amend(file, "files", changes)
        assert file.read_text() == FLOW


def test_an_upstream_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    file = tmp_path / "bascule.yaml"
    file.write_text(FLOW)
    with pytest.raises(ConfigError, match="no upstream 'c'; there is files, b"):
        amending.amend(file, "c", {"trust": "review"})


def test_another_mode_is_what_the_file_will_say() -> None:
    day = date(2027, 1, 31)
    assert amending.judged("shadow", day, None) == {"mode": "shadow", "until": "2027-01-31"}
    assert amending.judged("enforce", None, "first_use") == {"mode": None, "until": None, "trust": None}
    assert amending.judged(None, day, "review") == {"until": "2027-01-31", "trust": "review"}
    assert amending.judged(None, None, None) == {}
    with pytest.raises(ConfigError, match="needs its last day"):
        amending.judged("shadow", None, None)


def test_further_grants_stand_beside_those_it_has_and_nothing_changes_where_it_has_them() -> None:
    has = UpstreamSettings.model_validate(
        {"command": "npx", "folders": {"/a": "ro"}, "network": {"allow": ["a.example:443"]}}
    )
    assert amending.grants(has, ("a.example:443",), {"/a": "ro"}) == {}
    assert amending.grants(has, ("b.example:443",), {"/b": "rw"}) == {
        "network": {"allow": ["a.example:443", "b.example:443"]},
        "folders": {"/a": "ro", "/b": "rw"},
    }
    with pytest.raises(ConfigError):
        amending.grants(has, ("https://b.example",), {})


def test_the_amended_file_still_reads(tmp_path: Path) -> None:
    file = tmp_path / "bascule.yaml"
    file.write_text(BLOCK)
    amending.amend(file, "files", amending.judged("enforce", None, None))
    assert config.load(file, {}).upstreams["files"].mode == "enforce"
