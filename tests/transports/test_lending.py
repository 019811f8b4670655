"""Commands that are wrapped without being registered: what may be lent under which name, and until when."""

from typing import Any

import pytest

from gateway.errors import ConfigError
from gateway.settings import UpstreamSettings
from gateway.transports.lending import Lending
from tests.transports.exchange import settings

GIVEN: dict[str, Any] = {"command": "npx", "args": ["-y", "x"], "env": {"KEY": "v"}, "folders": {"/srv": "rw"}}
REGISTERED = {"files": UpstreamSettings.model_validate({**GIVEN, "sandbox": "strict"})}


def test_a_command_is_among_the_upstreams_until_its_last_client_has_gone() -> None:
    lending = Lending()
    assert lending.take("x", GIVEN, {})
    assert lending.take("x", GIVEN, {})
    [(name, lent)] = lending.among(settings()).upstreams.items()
    assert (name, lent.command, lent.args, lent.env, lent.folders) == (
        "x",
        "npx",
        ("-y", "x"),
        {"KEY": "v"},
        {"/srv": "rw"},
    )
    assert lending.leave("x") is None
    assert lending.leave("x") is lent
    assert lending.among(settings()).upstreams == {}


def test_what_is_registered_just_so_is_not_lent() -> None:
    lending = Lending()
    assert not lending.take("files", GIVEN, REGISTERED)
    assert lending.among(settings()).upstreams == {}


@pytest.mark.parametrize(
    "change",
    [{"command": "uvx"}, {"args": ["-y", "y"]}, {"env": {"KEY": "w"}}, {"folders": {"/srv": "ro"}}, {"folders": {}}],
    ids=str,
)
def test_a_name_that_means_another_command_is_refused(change: dict[str, Any]) -> None:
    lending = Lending()
    with pytest.raises(ConfigError, match="'files' is registered with another command: give another --name"):
        lending.take("files", GIVEN | change, REGISTERED)
    lending.take("x", GIVEN, {})
    with pytest.raises(ConfigError, match="'x' is wrapped by another client with another command"):
        lending.take("x", GIVEN | change, {})
    assert lending.leave("x") is not None


def test_a_name_that_the_file_has_come_to_use_is_the_files() -> None:
    lending = Lending()
    lending.take("x", GIVEN, {})
    now = settings(upstreams={"x": {"url": "http://127.0.0.1:1/mcp"}})
    assert lending.among(now).upstreams["x"].url == "http://127.0.0.1:1/mcp"


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("a__b", {}, "'a__b' cannot be an upstream: name: a name holds no '__'"),
        ("x", {"folders": {"/": "ro"}}, "folders"),
        ("x", {"folders": {"/srv": "rwx"}}, "folders"),
        ("x", {"env": {"1": "secret-value"}}, "env"),
        ("x", {"args": "secret-value"}, "args"),
    ],
    ids=str,
)
def test_what_cannot_be_an_upstream_is_refused_without_its_values(
    name: str, change: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ConfigError, match="cannot be an upstream") as caught:
        Lending().take(name, GIVEN | change, {})
    assert reason in str(caught.value)
    assert "secret-value" not in str(caught.value)
