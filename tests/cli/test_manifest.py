"""`manifest draft`: shown, or written where there is none."""

import json
from pathlib import Path

import pytest

from gateway.cli import manifest
from gateway.model import JsonObject
from tests.cli.commandline import Admin, Run

TEXT = "tools: {}\n"


@pytest.fixture
def drafted(here: Path, admin: Admin, monkeypatch: pytest.MonkeyPatch) -> JsonObject:
    monkeypatch.setattr(manifest, "run_admin", admin)
    admin.answer = {"file": str(here / "manifests" / "crm.yaml"), "exists": False, "tools": {}, "text": TEXT}
    return admin.answer


def test_a_draft_is_shown_and_nothing_is_written(drafted: JsonObject, run: Run, admin: Admin) -> None:
    assert run("manifest", "draft", "crm").out == TEXT
    assert admin.asked == [("manifest_draft", {"name": "crm"})]
    assert json.loads(run("manifest", "draft", "crm", "--json").out) == drafted
    assert not Path(drafted["file"]).exists()


def test_a_draft_is_written_once_and_never_over_what_is_there(drafted: JsonObject, run: Run) -> None:
    assert "crm.yaml: 0 tools" in run("manifest", "draft", "crm", "--write").out
    file = Path(drafted["file"])
    assert file.read_text() == TEXT
    file.write_text("mine")
    ended = run("manifest", "draft", "crm", "--write")
    assert (ended.status, file.read_text()) == (2, "mine")
    assert "is there already" in ended.err


def test_where_it_cannot_be_written_that_is_said(drafted: JsonObject, run: Run, here: Path) -> None:
    (here / "manifests").write_text("a file")
    ended = run("manifest", "draft", "crm", "--write")
    assert ended.status == 2
    assert "cannot be written" in ended.err
