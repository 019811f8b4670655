"""The life of one gateway process: what it takes, what a reload may change and what it keeps, how it ends."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from gateway import admin, app, listing
from gateway.audit import keys
from gateway.config import load
from gateway.errors import ConfigError, LogUnavailable, Refused
from gateway.model import JsonObject
from gateway.storage.sqlite import SqliteReader
from gateway.transports.control import ask
from tests import nouns
from tests.attacks.clients import client, decision
from tests.attacks.upstreams import Upstream, upstream
from tests.commands import refused_start
from tests.path import DataPath, Scripted
from tests.serving import PATIENCE, TOKEN, Folder, Served, serving

WHO = "os:tester"
OPEN = 'package bascule.call\n\nallow contains "anything" if input.tool.name != ""\n'
WRITE = {"path": "private/a", "text": "x"}


@pytest.fixture
async def reached() -> AsyncIterator[Upstream]:
    async with upstream() as kept:
        yield kept


@pytest.fixture
def folder(reached: Upstream, tmp_path: Path) -> Folder:
    return Folder(tmp_path / "gateway", {"kept": {"url": reached.url}})


def kinds(folder: Folder) -> list[str]:
    reader = SqliteReader(folder.state / admin.DATABASE)
    found = [orjson.loads(record)["kind"] for _, _, record in reader.leaves(0, reader.count())]
    reader.close()
    return found


async def status_of(served: Served, name: str, session: str = "") -> int:
    """What a legacy client is answered at this upstream's address."""
    headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
    method, params = "tools/list", {}
    if session:
        headers["mcp-session-id"] = session
    else:
        method = "initialize"
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    async with aiohttp.ClientSession() as http, http.post(served.url(name), data=body, headers=headers) as response:
        return response.status


async def session_at(served: Served, name: str) -> str:
    headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params})
    async with aiohttp.ClientSession() as http, http.post(served.url(name), data=body, headers=headers) as response:
        return response.headers["mcp-session-id"]


async def reload(folder: Folder) -> Any:
    return await asyncio.to_thread(ask, folder.state, "reload")


@pytest.mark.promise("reload")
async def test_a_reload_adds_and_removes_upstreams_and_keeps_sessions(folder: Folder, reached: Upstream) -> None:
    folder.upstreams = {"kept": {"url": reached.url}, "going": {"url": reached.url}}
    async with serving(folder) as served:
        session = await session_at(served, "kept")
        gone = await session_at(served, "going")
        assert await status_of(served, "coming") == 404
        folder.upstreams = {"kept": {"url": reached.url}, "coming": {"url": reached.url}}
        folder.policy = OPEN
        folder.write()
        assert (await reload(folder))["upstreams"] == ["kept", "coming"]
        assert await status_of(served, "kept", session) == 200
        assert await status_of(served, "going", gone) == 404
        async with client(served.url("coming")) as talking:
            assert decision(await talking.call("write_note", WRITE))["effect"] == "allow"
    assert kinds(folder).count("admin.reload") == 1


WRONG: dict[str, tuple[Callable[[Folder], object], str]] = {
    "a key that is not there": (
        lambda folder: folder.config.write_text(folder.config.read_text() + "limts: {}\n"),
        "limts",
    ),
    "a policy that does not load": (
        lambda folder: (folder.path / "policies" / "tests.rego").write_text("package bascule.call\n\nallow if"),
        "tests.rego:3",
    ),
    "a manifest that says nothing known": (
        lambda folder: (folder.path / "manifests" / "kept.yaml").write_text("tools: {write_note: {efects: [read]}}\n"),
        "efects",
    ),
    "a name that could not be told apart": (
        lambda folder: folder.config.write_text(folder.config.read_text().replace('"kept"', '"kept_"')),
        "kept_",
    ),
}


@pytest.mark.promise("reload")
async def test_a_reload_that_fails_changes_nothing(folder: Folder) -> None:
    folder.write()
    async with app.opened(load(folder.config)) as gw:
        serving_gateway = app.Serving(gw)
        before = (gw.settings, gw.pdp, gw.registry.revision, dict(gw.executors))
        for what, (spoil, named) in WRONG.items():
            spoil(folder)
            with pytest.raises(ConfigError, match=named):
                await serving_gateway.reload(operator=WHO)
            assert (gw.settings, gw.pdp, gw.registry.revision, dict(gw.executors)) == before, what
            (folder.path / "manifests" / "kept.yaml").unlink(missing_ok=True)
            folder.write()
        folder.policy = OPEN
        folder.upstreams = {"other": {"url": "http://127.0.0.1:1/mcp"}}
        folder.write()
        await gw.log.close()
        with pytest.raises(LogUnavailable):
            await serving_gateway.reload(operator=WHO)
        assert (gw.settings, gw.pdp, gw.registry.revision, dict(gw.executors)) == before
        await _close(gw)


@pytest.mark.promise("reload")
@pytest.mark.parametrize("left", [{}, {"kept": {"url": "http://127.0.0.1:1/mcp"}}], ids=["removed", "moved"])
async def test_a_list_that_was_asked_for_before_a_reload_is_not_taken_for_the_new_servers(
    folder: Folder, left: dict[str, Any]
) -> None:
    asked, answered = asyncio.Event(), asyncio.Event()

    async def slow() -> list[JsonObject]:
        asked.set()
        await answered.wait()
        return [nouns.WRITE_NOTE]

    folder.write()
    async with app.opened(load(folder.config)) as gw:
        await gw.executors["kept"].close()
        gw.executors["kept"] = Scripted(lists=slow)
        listing_before = asyncio.ensure_future(listing.refresh("kept", gw))
        await asked.wait()
        folder.upstreams = left
        folder.write()
        await app.Serving(gw).reload(operator=WHO)
        answered.set()
        with pytest.raises(Refused, match="reconfigured"):
            await listing_before
        assert "kept" not in gw.listed
        assert gw.registry.lock() == {}
        await _close(gw)


@pytest.mark.promise("reload")
async def test_a_reload_keeps_state_listen_and_origin(folder: Folder) -> None:
    folder.write()
    async with app.opened(load(folder.config)) as gw:
        before = gw.settings
        text = folder.config.read_text().replace("port: 0", "port: 7").replace("tests.example", "other.example")
        folder.config.write_text(text.replace("state: state", "state: elsewhere") + "limits: {call_s: 7}\n")
        await app.Serving(gw).reload(operator=WHO)
        assert (gw.settings.state, gw.settings.listen, gw.settings.audit) == (
            before.state, before.listen, before.audit,
        )  # fmt: skip
        assert gw.settings.limits.call_s == 7
        await _close(gw)


@pytest.mark.promise("reload")
async def test_a_reload_tells_those_again_that_were_gone(folder: Folder) -> None:
    folder.more = 'notify: {ops: {url: "http://127.0.0.1:1/", secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}}\n'
    folder.write()
    async with app.opened(load(folder.config)) as gw:
        serving_gateway = app.Serving(gw)
        (receiver,) = serving_gateway._webhooks.receivers
        receiver._gone = True
        await serving_gateway.reload(operator=WHO)
        assert serving_gateway._webhooks.receivers == [receiver]
        assert not receiver._gone
        await _close(gw)


async def _close(gw: Any) -> None:
    for executor in gw.executors.values():
        await executor.close()


@pytest.mark.promise("reload")
async def test_sighup_reloads_and_a_wrong_file_is_told_and_passed_over(folder: Folder, reached: Upstream) -> None:
    async with serving(folder) as served:
        folder.config.write_text("version: 1\nnonsense: true\n")
        served.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(PATIENCE):
            while not any("not reloaded, all stays as it was" in line for line in served.log):
                assert await status_of(served, "kept") == 200
        folder.upstreams = {"kept": {"url": reached.url}, "coming": {"url": reached.url}}
        folder.write()
        served.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(PATIENCE):
            while await status_of(served, "coming") == 404:
                assert await status_of(served, "kept") == 200


async def test_a_signal_to_stop_ends_with_a_signed_head_and_nothing_in_the_way_of_the_next_start(
    folder: Folder,
) -> None:
    async with serving(folder) as served:
        async with client(served.url("kept")) as talking:
            await talking.call("write_note", WRITE)
        served.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            assert await served.process.wait() == 0
    assert {file.name for file in folder.state.iterdir()} & {"control.sock", "bascule.db-wal"} == set()
    reader = SqliteReader(folder.state / admin.DATABASE)
    head = reader.head()
    assert head is not None
    assert head.size == reader.count()
    reader.close()


async def test_each_start_is_recorded_with_the_policy_it_serves(folder: Folder) -> None:
    for _ in range(2):
        async with serving(folder):
            pass
    assert kinds(folder).count("log.boot") == 2
    reader = SqliteReader(folder.state / admin.DATABASE)
    boot = orjson.loads(reader.leaf(0) or b"{}")
    assert reader.bundle(boot["bundle"]) is not None
    reader.close()


async def test_an_address_that_is_taken_is_named(folder: Folder) -> None:
    folder.write()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        folder.config.write_text(folder.config.read_text().replace("port: 0", f"port: {port}"))
        refused = await refused_start(folder)
    assert refused.code == 2
    assert f"cannot listen on 127.0.0.1:{port}" in refused.err


async def test_without_an_owner_an_action_takes_the_folder_only_while_it_lasts(folder: Folder) -> None:
    folder.write()
    settings = load(folder.config)
    listed = await app.act(settings, "upstream_list", operator=WHO)
    assert listed["upstreams"][0]["tools"] == {"accepted": 2}
    async with app.opened(settings):
        with pytest.raises(ConfigError, match="belongs to the running process"):
            await app.act(settings, "upstream_list", operator=WHO)
        assert (await app.act(settings, "audit_tail", operator=WHO))["size"] == 2, "reading takes nothing"


async def test_what_reads_the_log_says_where_there_is_none(folder: Folder) -> None:
    folder.write()
    with pytest.raises(ConfigError, match=r"there is no log at .*bascule\.db"):
        await app.act(load(folder.config), "runs_list", operator=WHO)
    (folder.state / keys.SIGNING).unlink()
    with pytest.raises(ConfigError):
        await app.act(load(folder.config), "upstream_list", operator=WHO)


async def test_the_control_socket_answers_every_operator_action(path: DataPath) -> None:
    names = {action.__name__ for action in (*admin.ACTIONS, *admin.ON_ARCHIVE)}
    assert app.actions(path.gw).keys() == names
    assert (await app.actions(path.gw)["runs_list"](operator=WHO)) == {"runs": []}


class Swept(Scripted):
    """An executor that says when the upkeep came by."""

    swept: asyncio.Event

    async def sweep(self) -> None:
        self.swept.set()


async def _upkeep_once(path: DataPath, serving_gateway: app.Serving) -> None:
    executor = Swept()
    executor.swept = asyncio.Event()
    path.gw.executors["notes"] = executor
    running = path.gw.tasks.start(serving_gateway.upkeep())
    async with asyncio.timeout(PATIENCE):
        await executor.swept.wait()
    running.cancel()


@pytest.mark.promise("strangers.leave-no-record")
async def test_the_upkeep_sums_up_strangers_in_one_record_and_says_nothing_where_there_were_none(
    path: DataPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "UPKEEP_SECONDS", 0.001)
    serving_gateway = app.Serving(path.gw)
    await _upkeep_once(path, serving_gateway)
    assert path.leaves("auth.summary") == []
    for _ in range(1000):
        serving_gateway.failures.count("token")
    serving_gateway.failures.count("host")
    await _upkeep_once(path, serving_gateway)
    (summary,) = path.leaves("auth.summary")
    assert summary["turned_away"] == {"token": 1000, "host": 1}


async def test_every_address_is_an_upstream_a_view_or_all_of_them(folder: Folder) -> None:
    folder.more = "views: {both: [kept]}\n"
    folder.write()
    found = listing.endpoints(load(folder.config))
    assert {key: (one.upstreams, one.qualified) for key, one in found.items()} == {
        (None, None): (("kept",), True),
        ("kept", None): (("kept",), False),
        (None, "both"): (("kept",), True),
    }


async def test_a_configuration_that_lets_strangers_in_refuses_to_start(folder: Folder) -> None:
    folder.write()
    text = folder.config.read_text().replace("host: 127.0.0.1", "host: 0.0.0.0")
    folder.config.write_text(text.replace("version: 1\n", "version: 1\ninsecure_local: true\n"))
    refused = await refused_start(folder)
    assert refused.code == 2
    assert "insecure_local" in refused.err


def test_a_data_file_that_cannot_be_read_is_named(folder: Folder) -> None:
    folder.more = "policy: {bundle: policies, manifests: manifests, data: [{name: groups, file: groups.json}]}\n"
    folder.write()
    with pytest.raises(ConfigError, match=r"groups\.json"):
        app._policy(load(folder.config))
