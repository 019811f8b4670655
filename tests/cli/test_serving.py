"""`serve` and `doctor` as an operator sees them; the gateway itself is tested where it is."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

import gateway
from gateway.config import Settings
from tests.cli.commandline import Admin, Run

LINES = [{"name": "log", "state": "ok", "evidence": "a record was read back", "fix": ""}]


def test_serve_reads_the_configuration_and_ends_as_the_gateway_does(
    here: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[Path] = []

    def serve(settings: Settings, *, idle_s: float | None) -> int:
        assert idle_s is None
        served.append(settings.file)
        return 7

    monkeypatch.setattr(gateway, "app", SimpleNamespace(serve=serve), raising=False)
    assert run("serve").status == 7
    assert served == [here / "bascule.yaml"]


def test_serve_with_a_bad_configuration_ends_with_2(here: Path, run: Run) -> None:
    Path("bascule.yaml").write_text("version: 1\n")
    ended = run("serve")
    assert ended.status == 2
    assert "bascule.yaml:1:1: audit: is missing" in ended.err


@pytest.mark.parametrize(("sound", "status"), [(True, 0), (False, 1)])
def test_doctor_ends_with_1_where_something_does_not_hold(
    here: Path, run: Run, admin: Admin, sound: bool, status: int
) -> None:
    admin.answer = {"lines": LINES, "sound": sound}
    ended = run("doctor")
    assert ended.status == status
    assert ended.out == "name\tstate\tevidence\tfix\nlog\tok\ta record was read back\t\n"
    assert json.loads(run("doctor", "--json").out) == admin.answer
    assert admin.asked == [("doctor", {})] * 2
