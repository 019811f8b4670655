"""The quick look for the state folder: never another answer than the full reader's, and None rather than a guess."""

import random
import time
from pathlib import Path

import pytest

from gateway import config
from gateway.cli import statefolder
from gateway.cli.owning import Unserved
from gateway.cli.statefolder import stated_state
from gateway.errors import ConfigError

REST = "version: 1\naudit: {origin: example.org/bascule}\n"
SURE = {
    "state: .bascule            # database, keys\n": ".bascule",
    "state: state\n": "state",
    "state: /var/lib/bascule\n": "/var/lib/bascule",
    "state: ~/b\n": "~/b",
    "state: ../x/y-1.2\n": "../x/y-1.2",
    "state: 'a b'\n": "a b",
    'state: "a # b"  # c\n': "a # b",
    "": "",
    "# state: x\n": "",
    "upstreams:\n  state: {url: 'http://h/'}\n": "",
    "upstreams:\n  a:\n    url: http://h/  # it's {\n": "",
    "upstreams:\r\n  a: {url: 'http://h/'}\r\nstate: x\r\n": "x",
    'upstreams: {"a": {"url":"http://h/"}}\nstate: x\n': "x",
}
UNSURE = [
    "state: {a: b}\n",
    "state:\n  x\n",
    "state: a\n  b\n",
    "state: >\n  a\n",
    "state: 5\n",
    "state: .5\n",
    "state: .inf\n",
    "state: 1e5\n",
    "state: true\n",
    "state: ~\n",
    "state: null\n",
    "state: 2027-01-01\n",
    "state: &a x\n",
    "state: !!str x\n",
    'state: "a\\tb"\n',
    "state: ${HOME}\n",
    "state: x: y\n",
    "state: a\nstate: b\n",
    '"state": x\n',
    "? state\n: x\n",
    "upstreams: {a: {url: 'http://h/'},\nstate: {url: 'http://h/'}}\n",
    "upstreams: {a: {url: 'http://h/'}\n}\nstate: x\n",
    "upstreams:\n  a: {url: 'http://h/',\nstate: x}\n",
    'views: "a\nstate: x\n"\n',
    "views: 'it''s\nstate: x'\n",
    'views: {a: b "c, d: {e", f: g}\nstate: x\n',
    "views: it's\nstate: x\n",
    "views:\n- a\nstate: x\n",
    "state: x\n...\n",
    "---\nstate: x\n",
    "%YAML 1.2\n---\nstate: x\n",
    "a: b\x85state: x\n",
    "a: b\rstate: x\n",
    "\ufeffstate: x\n",
    "\tstate: x\n",
]


@pytest.mark.parametrize(("text", "stated"), SURE.items(), ids=repr)
def test_a_plain_file_is_read_at_once_and_as_the_full_reader_reads_it(tmp_path: Path, text: str, stated: str) -> None:
    assert stated_state(text + REST) == stated
    file = tmp_path / "bascule.yaml"
    file.write_bytes((text + REST).encode())
    assert statefolder.state_folder(str(file)) == str(config.outline(file).state)


@pytest.mark.parametrize("text", UNSURE, ids=repr)
def test_what_is_unusual_is_left_to_the_full_reader(text: str) -> None:
    assert stated_state(text) is None


def test_a_file_that_begins_indented_or_holds_nothing_is_left_to_it_too() -> None:
    assert stated_state("  state: x\n") is None
    assert stated_state("# nothing\n") is None
    assert stated_state("") is None


def test_where_it_is_unsure_the_full_reader_is_asked(tmp_path: Path) -> None:
    file = tmp_path / "bascule.yaml"
    file.write_text(f"---\nstate: deep\n{REST}")
    assert statefolder.state_folder(str(file)) == str(tmp_path / "deep")
    file.write_text("---\nstate: deep\nnonsense: 1\n")
    with pytest.raises(Unserved, match="nonsense"):
        statefolder.state_folder(str(file))
    with pytest.raises(Unserved, match="No such file"):
        statefolder.state_folder(str(tmp_path / "none.yaml"))


def test_random_files_are_never_read_otherwise_than_by_the_full_reader() -> None:
    seed = time.time_ns()
    print(f"seed {seed}")
    rolled = random.Random(seed)
    pieces = [
        "state: ",
        "x",
        "b",
        "\n",
        "\n",
        " ",
        "  ",
        '"',
        "'",
        "{",
        "}",
        "[",
        "]",
        ",",
        ": ",
        "#",
        " # ",
        "- ",
        "a: ",
    ]
    sure = 0
    for _ in range(8000):
        text = "".join(rolled.choices(pieces, k=rolled.randint(1, 14))) + rolled.choice(
            ["", "\nstate: y\n", "\nc: d}\n"]
        )
        if (stated := stated_state(text)) is None:
            continue
        try:
            value = config.read(text, "bascule.yaml").value
        except (ConfigError, NotImplementedError, AssertionError):  # the YAML library, over comments it cannot keep
            continue
        assert isinstance(value, dict), text
        sure += 1
        meant = value.get("state", "")
        assert meant == stated or not isinstance(meant, str), text
    assert sure > 20
