"""The folder of the demonstration: made once, then kept."""

import socket
from pathlib import Path

from examples.demo.stage import prepared
from gateway import config


def test_the_second_run_keeps_token_and_keys(tmp_path: Path) -> None:
    first = prepared(tmp_path / "demo")
    key = (tmp_path / "demo" / ".bascule" / "log.key").read_bytes()
    second = prepared(tmp_path / "demo")
    assert second.token == first.token
    assert (tmp_path / "demo" / ".bascule" / "log.key").read_bytes() == key


def test_the_token_is_for_its_owner_alone(tmp_path: Path) -> None:
    prepared(tmp_path / "demo")
    assert (tmp_path / "demo" / "token").stat().st_mode & 0o777 == 0o600


def test_the_configuration_is_whole_and_puts_the_notes_behind_the_gateway(tmp_path: Path) -> None:
    stage = prepared(tmp_path / "demo")
    settings = config.load(stage.config)
    assert settings.listen.port == stage.port
    assert settings.upstreams["notes"].url == stage.notes_url
    assert (settings.policy.bundle / "notes.rego").exists()
    assert (settings.policy.manifests / "notes.yaml").exists()


def test_ports_that_are_taken_are_replaced(tmp_path: Path) -> None:
    first = prepared(tmp_path / "demo")
    with socket.create_server(("127.0.0.1", first.port)):
        second = prepared(tmp_path / "demo")
    assert second.port != first.port
    assert config.load(second.config).listen.port == second.port
