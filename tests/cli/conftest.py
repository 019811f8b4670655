"""A configuration that loads, and the command line run in this process."""

import sys
from pathlib import Path
from typing import Any

import pytest

from gateway import cli
from gateway.cli import asking, audit, brake, budgets, policy, runs, tasks, upstream
from tests.cli.commandline import Admin, Ended, Run

CONFIG = "version: 1\nstate: .bascule\naudit: {origin: example.org/bascule}\n"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`run("audit", "tail")`: the whole command line, with its status, output and errors."""

    def ended(*words: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["bascule", *words])
        status: Any = 0
        try:
            cli.main()
        except SystemExit as end:
            status = end.code
        out, err = capsys.readouterr()
        return Ended(status or 0, out, err)

    return ended


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a configuration, where commands run; nothing of the user's is seen."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("BASCULE_CONFIG", raising=False)
    monkeypatch.delenv("BASCULE_TOKEN", raising=False)
    (tmp_path / "bascule.yaml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch) -> Admin:
    """The actions, replaced: these tests are about what is asked and what is shown."""
    stand_in = Admin()
    for module in (asking, audit, brake, budgets, policy, runs, tasks, upstream):
        monkeypatch.setattr(module, "run_admin", stand_in)
    monkeypatch.setattr(policy, "without_state", stand_in)
    return stand_in
