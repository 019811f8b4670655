"""What an executor was made of decides whether a reload makes it anew."""

from pathlib import Path

import pytest

from gateway import making
from gateway.config import load
from gateway.errors import ConfigError
from gateway.resources import resource
from tests.serving import Folder


def test_an_executor_is_made_anew_for_all_it_was_made_of_and_for_nothing_else(tmp_path: Path) -> None:
    folder = Folder(tmp_path, {})
    folder.upstreams = {
        "far": {"url": "http://127.0.0.1:1/mcp"},
        "near": {"command": "/usr/bin/env", "sandbox": "own"},
        "bare": {"command": "/usr/bin/env", "sandbox": "none"},
    }
    folder.write()
    profile = folder.path / "sandboxes" / "own.yaml"
    profile.parent.mkdir()
    profile.write_text((resource("sandboxes") / "default.yaml").read_text())

    def made_of() -> dict[str, object]:
        settings = load(folder.config)
        return {name: making.fingerprint(name, settings) for name in settings.upstreams}

    before = made_of()
    assert made_of() == before
    profile.write_text(profile.read_text().replace("tmp_mb: 64", "tmp_mb: 32"))
    assert {name for name, of in made_of().items() if of != before[name]} == {"near"}
    before = made_of()
    folder.more = "run_as: 4242\npolicy: {bundle: policies, manifests: manifests}\n"
    folder.write()
    assert {name for name, of in made_of().items() if of != before[name]} == {"near", "bare"}
    profile.write_text("tmp_mb: none\n")
    with pytest.raises(ConfigError):
        made_of()
