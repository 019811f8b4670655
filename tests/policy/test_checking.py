"""What is wrong with a folder of policies."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.policy import bundle, checking, judges
from gateway.policy.checking import Finding, check
from tests.policy.folders import CALL, written

FINE = 'allow contains "a" if input.tool.name == "a"\n'


@pytest.fixture(autouse=True)
def nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    monkeypatch.delenv(judges.OPA, raising=False)


async def silent(argv: Sequence[str], timeout_s: float) -> tuple[int, str]:
    raise AssertionError(f"nothing is to be started: {argv}")


async def found(folder: Path, files: dict[str, str]) -> list[Finding]:
    """The findings but the last, which says that nobody else was asked."""
    *findings, last = await check(written(folder / "p", files), silent)
    assert (last.severity, last.file) == ("info", str(folder / "p"))
    return findings


async def test_a_sound_folder_has_no_findings(tmp_path: Path) -> None:
    test = 'package a_test\n\nimport data.bascule.call\n\ntest_a if call.allow["a"] with input.tool.name as "a"\n'
    assert await found(tmp_path, {"a.rego": CALL + FINE, "a_test.rego": test}) == []


async def test_the_shipped_policies_have_no_findings() -> None:
    assert [one for one in await check(bundle.shipped(), silent) if one.severity != "info"] == []


@pytest.mark.parametrize(
    ("file", "text", "line", "why"),
    [
        ("a.rego", CALL + "deny contains", 3, "is not valid Rego"),
        ("a.rego", CALL + "default allow := false\n", 3, "`allow` is a set of reasons"),
        ("a.rego", CALL + 'deny contains "x" if not input.principal.roles[_] == "admin"\n', 3, "under `not`"),
        ("a.rego", "package bascule.cal\n\nx := 1\n", 3, "did you mean bascule.call?"),
        ("data.json", "{", 0, "is not strict JSON"),
        ("a_test.rego", "package a_test\n\ntest_a if {", 3, "is not valid Rego"),
        ("a_test.rego", "package a_test\n\ntest_a if not data.x[_] == 1\n", 3, "under `not`"),
    ],
)
async def test_what_cannot_be_loaded_is_one_error_with_its_place(
    tmp_path: Path, file: str, text: str, line: int, why: str
) -> None:
    (finding,) = await found(tmp_path, {"fine.rego": CALL + FINE, file: text})
    assert (finding.file, finding.line, finding.severity) == (str(tmp_path / "p" / file), line, "error")
    assert why in finding.problem


@pytest.mark.parametrize(
    ("rule", "line", "severity", "problem", "fix"),
    [
        ('deny contains "x" if input.tool.nmae', 3, "error", "input.tool.nmae is never there", "did you mean name?"),
        ('deny contains "x" if input.call.kind == "tol"', 3, "error", 'is never "tol"', "did you mean tool?"),
        ('denny contains "x" if input.tool.name', 3, "error", "no entry reaches `denny`", "did you mean deny?"),
        ("unused if input.tool.name", 3, "warning", "no entry reaches `unused`", "or drop it"),
        ("f(x) := x", 3, "warning", "no entry reaches `f` of bascule.call", "or drop it"),
        ("a if b\n\nb if input.tool.name", 3, "warning", "no entry reaches `a`", "or drop it"),
        ('allow contains "x" if input.args.y', 3, "warning", "no condition on the principal or the tool", "input.tool"),
        ("allow contains input.tool.name if input.args.y", 3, "warning", "no condition on the principal", ""),
        ('allow contains "x" if y\n\ny if input.args.y', 3, "warning", "no condition on the principal", ""),
        (
            'deny contains "x" if {\n\tsome x in input.principal.roles\n\tregex.match("a", x)\n}',
            5,
            "warning",
            "`regex.match` inside an iteration",
            "data.grants",
        ),
    ],
)
async def test_what_loads_and_means_nothing_is_found(
    tmp_path: Path, rule: str, line: int, severity: str, problem: str, fix: str
) -> None:
    first = (await found(tmp_path, {"a.rego": f"{CALL}{rule}\n"}))[0]
    assert (first.file, first.line, first.severity) == (str(tmp_path / "p/a.rego"), line, severity)
    assert problem in first.problem
    assert fix in first.fix


@pytest.mark.parametrize(
    "rule",
    [
        'allow contains "x" if input.principal.id == "ann"',
        'allow contains "x" if granted\n\ngranted if data.grants[input.principal.id]',
        'allow contains "x" if is(input.tool)\n\nis(tool) if tool.name == "a"',
        'allow contains "x" if is(input)\n\nis(whole) if whole.tool.name == "a"',
        'allow contains "never" if false',
        'deny contains "x" if input.args.y',
        'deny contains "x" if {\n\tsome each in rules\n\teach == 1\n}\n\nrules contains 1 if input.tool.name',
    ],
)
async def test_what_means_something_is_left_alone(tmp_path: Path, rule: str) -> None:
    assert await found(tmp_path, {"a.rego": f"{CALL}{rule}\n"}) == []


async def test_a_team_may_allow_whatever_its_upstreams_offer(tmp_path: Path) -> None:
    team = 'package bascule.call.crm\n\nallow contains "x" if input.args.y\n'
    data = '{"teams": {"crm": {"upstreams": ["crm"]}}}'
    assert await found(tmp_path, {"crm.rego": team, "data.json": data}) == []


async def test_rules_outside_the_packages_that_decide_are_found(tmp_path: Path) -> None:
    files = {"a.rego": "package policy\n\ndeny contains 1 if input.tool\n\nother := 1\n"}
    deny, other = await found(tmp_path, files)
    assert (deny.severity, "bascule.call" in deny.fix) == ("error", True)
    assert (other.severity, other.line) == ("warning", 5)


async def test_a_name_that_nothing_reaches_is_told_once_and_use_by_tests_does_not_count(tmp_path: Path) -> None:
    files = {"a.rego": CALL + "lost := 1 if input.tool.name\n\nlost := 1 if input.principal.id\n"}
    test = {"a_test.rego": "package a_test\n\ntest_a if data.bascule.call.lost\n"}
    (finding,) = await found(tmp_path, files | test)
    assert "no entry reaches `lost`" in finding.problem


async def test_a_test_may_ask_about_what_never_comes(tmp_path: Path) -> None:
    test = 'package a_test\n\ntest_a if data.bascule.call.allow with input.call.kind as "tol"\n'
    (finding,) = await found(tmp_path, {"a.rego": CALL + FINE, "x/a_test.rego": test})
    assert (finding.severity, finding.file) == ("warning", str(tmp_path / "p/x/a_test.rego"))


async def test_findings_come_by_file_and_line(tmp_path: Path) -> None:
    bad = CALL + "two if input.tool.nmae\n\none if input.call.kid\n"
    findings = await found(tmp_path, {"b.rego": bad, "a.rego": bad.replace("one", "x").replace("two", "y")})
    assert [(Path(one.file).name, one.line) for one in findings] == [
        (file, line) for file in ("a.rego", "b.rego") for line in (3, 3, 5, 5)
    ]


async def test_opa_is_not_heard_again_about_a_line_that_is_an_error_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(
        tmp_path / "p", {"a.rego": CALL + 'deny contains "x" if input.tool.nmae\n\nlost if input.tool.name\n'}
    )
    places = [{"file": str(folder / "a.rego"), "row": row, "col": 1} for row in (3, 5)]
    errors = [{"message": "wrong", "code": "rego_type_error", "location": place} for place in places]

    async def run(argv: Sequence[str], timeout_s: float) -> tuple[int, str]:
        return 1, json.dumps({"errors": [*errors, {"message": "no place"}]})

    opa = written(tmp_path, {"opa": ""}) / "opa"
    opa.chmod(0o755)
    monkeypatch.setenv(judges.OPA, str(opa))
    findings = await checking.check(folder, run)
    assert [(one.line, one.severity) for one in findings] == [
        (3, "error"),
        (5, "warning"),
        (5, "error"),
        (0, "error"),
        (0, "info"),
    ]
