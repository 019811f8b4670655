"""The reference pages say what the program does: nothing undocumented, nothing behind, every example loads."""

import contextlib
import io
import re
from pathlib import Path

import pytest
from cogapp import Cog  # type: ignore[import-untyped]
from typer.main import get_command

from docs import reference
from gateway import config
from gateway.cli.commands import app
from gateway.cli.terminal import Status
from gateway.model import Code

DOCS = Path(reference.__file__).parent
COMMANDS = list(reference.command_paths(get_command(app)))


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["cli.md", "config.md", "errors.md", "policy-input.md", "runs.md"])
def test_each_generated_page_is_what_would_be_generated(name: str) -> None:
    with contextlib.redirect_stdout(io.StringIO()) as said:
        status = Cog().main(["cog", "--check", "-P", str(DOCS / name)])
    assert status == 0, f"{said.getvalue()}: `make docs` writes it again"


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_each_command_is_documented(path: tuple[str, ...]) -> None:
    assert f"\n## bascule {' '.join(path)}\n" in page("cli.md")


def test_each_status_is_documented() -> None:
    assert set(reference.STATUSES) == set(Status)
    for status in Status:
        assert f"\n| {int(status)} | " in page("cli.md")


@pytest.mark.parametrize("name", list(reference.setting_names(config.json_schema())))
def test_each_setting_is_documented_with_a_meaning(name: str) -> None:
    part, _, key = name.rpartition(".")
    section = page("config.md").partition(f"\n## {part or 'The file'}\n")[2].partition("\n## ")[0]
    [row] = re.findall(rf"^\| `{re.escape(key)}` \| (.*) \|$", section, flags=re.MULTILINE)
    assert re.fullmatch(r"[^|]+ \| [^|]* \| .*\.", row), row


def test_no_part_of_the_file_is_left_out() -> None:
    schema = config.json_schema()
    assert set(schema["$defs"]) - {"Mode"} == {inner["title"] for _, inner in reference._parts(schema)}


@pytest.mark.parametrize("code", Code)
def test_each_code_is_documented_with_a_meaning_and_a_remedy(code: Code) -> None:
    meaning, remedy = reference.MEANINGS[code]
    assert meaning.endswith(".")
    assert remedy.endswith(".")
    assert re.search(rf"^\| `{code}` \| .*{re.escape(meaning)}", page("errors.md"), flags=re.MULTILINE)


def test_no_code_is_documented_that_does_not_exist() -> None:
    assert list(reference.MEANINGS) == list(Code)


def test_the_example_loads() -> None:
    [example] = re.findall(r"```yaml\n(.*?)```", page("config.md"), flags=re.DOTALL)
    read = config.parse(example, DOCS / "bascule.yaml", {"CRM_TOKEN": "x"})
    assert {name: view.upstreams for name, view in read.views.items()} == {"support": ("crm", "notes")}


def test_each_line_of_the_threat_model_names_a_test_that_is_there() -> None:
    tests = DOCS.parent / "tests"
    defined = {
        name for file in tests.rglob("test_*.py") for name in re.findall(r"def (test_\w+)", file.read_text("utf-8"))
    }
    named = set(re.findall(r"`(test_\w+)`", page("threat-model.md")))
    files = re.findall(r"`(tests/[\w/]+\.py)`", page("threat-model.md"))
    assert named
    assert named - defined == set()
    assert [file for file in files if not (DOCS.parent / file).exists()] == []
    lines = [line for line in page("threat-model.md").splitlines() if re.match(r"\| (?!attack|event|-)", line)]
    assert [line for line in lines if "test" not in line.rpartition("|")[0].rpartition("|")[2]] == []
