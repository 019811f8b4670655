"""Which negations mean one thing in every engine."""

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.policy import bundle

REFUSED = [
    'not startswith(input.args.path, "notes/")',
    'not startswith(input.typed["/path"].value, "/srv")',
    "not input.args.amount > 5",
    "not input.args.amount + 1 == 6",
    "not input.args.name in {1, 2}",
    "not data.grants[input.principal.id].x in {1}",
    "not data.grants[input.args.name]",
    'not input.principal.id in data.grants["x"]',
    'not "x" in input.nothing',
    "not count(input.args.list) == 3",
]
ALLOWED = [
    'not "admin" in input.principal.roles',
    'not "write" in input.tool.manifest.effects',
    'not input.args.path == "notes/"',
    "not data.grants[input.principal.id]",
    "not input.args.path",
    "not under_notes",
    "not count([x | some x in input.args.list]) > 3",
    'not startswith(input.tool.name, "read")',
    "not input.session.writes > 5",
]


def load(folder: Path, line: str, engine: str = "regorus") -> None:
    text = f'package bascule.call\n\ndeny contains "no" if {{\n\t{line}\n}}\n\nunder_notes if input.args.path == "x"\n'
    (folder / "a.rego").write_text(text)
    bundle.load(folder, engine=engine)


@pytest.mark.promise("fail-closed")
@pytest.mark.parametrize("engine", ["regorus", "opa"])
@pytest.mark.parametrize("line", REFUSED)
def test_a_negated_operation_on_what_may_be_missing_is_refused_for_both_engines(
    tmp_path: Path, line: str, engine: str
) -> None:
    with pytest.raises(ConfigError, match="write `not RULE`") as refused:
        load(tmp_path, line, engine)
    assert (refused.value.line, refused.value.file) == (4, str(tmp_path / "a.rego"))


@pytest.mark.parametrize("line", ALLOWED)
def test_what_means_one_thing_loads(tmp_path: Path, line: str) -> None:
    load(tmp_path, line)


def test_a_negation_inside_a_comprehension_is_looked_at_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="may be missing"):
        load(tmp_path, 'count([1 | not startswith(input.args.path, "a")]) > 0')
