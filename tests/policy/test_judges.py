"""OPA and Regal, as this asks them and understands them."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.policy import judges
from gateway.policy.findings import Finding

ERRORS = {
    "errors": [
        {
            "message": "undefined ref: input.tool.nmae",
            "code": "rego_type_error",
            "location": {"file": "a.rego", "row": 6, "col": 22},
            "details": {"oneOf": ["name", "pin"]},
        },
        {"message": "unused\n import", "details": "?"},
    ]
}
VIOLATIONS = {
    "violations": [
        {
            "title": "opa-fmt",
            "category": "style",
            "description": "File should be formatted",
            "level": "error",
            "location": {"file": "a.rego", "row": 1, "col": 1},
        }
    ]
}


class Programs:
    """Answers in the place of programs, and keeps what was started."""

    def __init__(self, **answers: tuple[int, str]) -> None:
        self.answers = answers
        self.started: list[tuple[str, ...]] = []

    async def run(self, argv: Sequence[str], timeout_s: float) -> tuple[int, str]:
        assert timeout_s == judges.LONGEST_S
        self.started.append(tuple(argv))
        return self.answers["regal" if "lint" in argv else "opa"]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is all there is in PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv(judges.OPA, raising=False)
    return folder


def installed(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text("#!/bin/false\n")
        (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("names", "problem", "fix"),
    [
        ((), "`opa` and `regal` not found, so not asked", "put them in PATH, or name opa in BASCULE_OPA"),
        (("opa",), "`regal` not found, so not asked", "put it in PATH"),
        (("regal",), "`opa` not found, so not asked", "put it in PATH, or name opa in BASCULE_OPA"),
    ],
)
async def test_who_was_not_found_is_said_at_the_end(
    programs: Path, names: tuple[str, ...], problem: str, fix: str
) -> None:
    installed(programs, *names)
    answers = Programs(opa=(0, ""), regal=(0, '{"violations": []}'))
    assert await judges.ask(Path("p"), answers.run) == [Finding("p", 0, 0, "info", problem, fix)]
    assert len(answers.started) == len(names)


async def test_what_both_find_is_told_with_its_place(programs: Path) -> None:
    installed(programs, "opa", "regal")
    answers = Programs(opa=(1, f"note\n{json.dumps(ERRORS)}\n"), regal=(3, json.dumps(VIOLATIONS)))
    assert await judges.ask(Path("p"), answers.run) == [
        Finding(
            "a.rego",
            6,
            22,
            "error",
            "opa check --strict: undefined ref: input.tool.nmae (rego_type_error)",
            "there is name, pin",
        ),
        Finding("", 0, 0, "error", "opa check --strict: unused import", ""),
        Finding("a.rego", 1, 1, "warning", "regal lint: File should be formatted (style/opa-fmt)", ""),
    ]
    opa, regal = answers.started
    assert opa[0] == str(programs / "opa")
    assert opa[1:4] == ("check", "--strict", "--bundle")
    assert (opa[-1], regal[-1]) == ("p", "p")
    assert "REGAL_DISABLE_CHECK_VERSION=true" in regal


async def test_nothing_wrong_is_nothing_found(programs: Path) -> None:
    installed(programs, "opa", "regal")
    assert await judges.ask(Path("p"), Programs(opa=(0, "{}"), regal=(0, '{"violations": null}')).run) == []


@pytest.mark.parametrize(
    "said", ["", "took too long\nmore", "{", '{"other": 1}', "[]", '{"errors": [1], "violations": [1]}']
)
async def test_an_answer_that_cannot_be_read_is_a_warning(programs: Path, said: str) -> None:
    installed(programs, "opa", "regal")
    found = await judges.ask(Path("p"), Programs(opa=(124, said), regal=(124, said)).run)
    assert [one.severity for one in found] == ["warning", "warning"]
    first = said.splitlines()[0] if said else "nothing"
    assert found[0].problem == f"opa check gave no answer that can be read: {first}"


async def test_the_opa_that_is_named_is_asked_before_the_one_in_path(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(programs, "opa")
    installed(tmp_path, "other")
    answers = Programs(opa=(0, ""))
    monkeypatch.setenv(judges.OPA, str(tmp_path / "other"))
    await judges.ask(Path("p"), answers.run)
    monkeypatch.setenv(judges.OPA, str(tmp_path / "none"))
    await judges.ask(Path("p"), answers.run)
    assert [argv[0] for argv in answers.started] == [str(tmp_path / "other"), str(programs / "opa")]
