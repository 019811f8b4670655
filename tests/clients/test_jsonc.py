"""What clients accept is read with its places, what they differ on is refused, an edit changes what it names."""

import json
import random
from pathlib import Path

import pytest

from gateway.clients import jsonc
from gateway.errors import ConfigError
from tests.clients.homes import SAMPLES


def read(text: str) -> jsonc.Document:
    return jsonc.read(text, "mcp.json")


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_every_value_of_a_sample_stands_where_it_is_said_to(sample: Path) -> None:
    text = sample.read_bytes().decode()
    document = read(text)
    pending = [document.root]
    while pending:
        value = pending.pop()
        assert read(text[value.start : value.end]).root.data() == value.data()
        pending += [*value.items, *(member.value for member in value.members.values())]
        assert all(text[member.start] == '"' for member in value.members.values())
    assert all(text[start:end].startswith(("//", "/*")) for start, end in document.comments)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"a": [1, -2.5e3, true, false, null, "x"]}', {"a": [1, -2500, True, False, None, "x"]}),
        ("\ufeff{}", {}),
        ('{"a": 1,}', {"a": 1}),
        ("[1, 2,\r\n\t]", [1, 2]),
        ('// x\n{/* y */"a"/**/:/**/1/**/}// z', {"a": 1}),
        ('{"a": "// no /* comment"}', {"a": "// no /* comment"}),
        (r'{"\u0061\n": "\ud83d\ude80 \"\\\/"}', {"a\n": '🚀 "\\/'}),
        ('"alone"', "alone"),
        ('{"": {}}', {"": {}}),
    ],
)
def test_what_clients_accept_is_read(text: str, says: object) -> None:
    assert read(text).root.data() == says


@pytest.mark.parametrize(
    ("text", "place", "why"),
    [
        ('{\n "a": 1,\n "a": 2}', "3:2", 'the key "a" is given twice, first in line 2'),
        ('{"\\u0061": 1, "a": 2}', "1:15", "given twice"),
        ("{a: 1}", "1:2", "double quotes"),
        ("{'a': 1}", "1:2", "double quotes"),
        ("{,}", "1:2", "double quotes"),
        ('{"a": 1,,}', "1:9", "double quotes"),
        ('{"a" 1}', "1:6", "':'"),
        ("[1 2]", "1:4", "',' or ']'"),
        ("[1", "1:3", "',' or ']'"),
        ('{"a":', "1:6", "ends before"),
        ("", "1:1", "ends before"),
        ("{} x", "1:4", "follows the end"),
        ("/* x", "1:1", "comment with an end"),
        ("/ x", "1:1", "comment with an end"),
        ('{"a": "x', "1:7", "Unterminated"),
        ('{"a": "x\ty"}', "1:9", "control character"),
        ('{"a": "\\ud83d"}', "1:7", "lone surrogate"),
        ('{"a": tru}', "1:7", "JSON value"),
        ('{"a": NaN}', "1:7", "JSON value"),
        ('{"a": 01}', "1:8", "',' or '}'"),
        ("[" * 70 + "]" * 70, "1:66", "too deep"),
    ],
)
def test_anything_else_is_refused_with_its_place(text: str, place: str, why: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(text)
    assert str(refused.value).startswith(f"mcp.json:{place}: ")
    assert why in str(refused.value)


def test_edits_change_what_they_name() -> None:
    assert jsonc.edited("abcdef", [(4, 5, "E"), (0, 1, ""), (6, 6, "!")]) == "bcdEf!"


def test_edits_that_overlap_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="overlap"):
        jsonc.edited("abcdef", [(0, 3, "x"), (2, 4, "y")])


def test_a_member_that_is_not_there_is_none() -> None:
    assert read('{"a": 1}').root.get("b") is None
    assert read("[]").root.get("b") is None


def test_whatever_json_writes_is_read_as_json_reads_it() -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)

    def value(depth: int) -> object:
        match dice.randrange(7 if depth < 4 else 5):
            case 0:
                return "".join(chr(dice.choice((34, 47, 92, 10, 233, 0x1F680, dice.randrange(32, 126)))) for _ in "abc")
            case 1:
                return dice.randrange(-1000, 1000)
            case 2:
                return dice.random()
            case 3:
                return dice.choice((True, False))
            case 4:
                return None
            case 5:
                return [value(depth + 1) for _ in range(dice.randrange(4))]
            case _:
                return {f"k{number}": value(depth + 1) for number in range(dice.randrange(4))}

    for _ in range(200):
        made = value(0)
        text = json.dumps(made, ensure_ascii=dice.choice((True, False)), indent=dice.choice((None, 2, "\t")))
        assert read(text).root.data() == json.loads(text)
