"""What changed among the pins is recorded and written, or every list fails until it is."""

import pytest

from gateway.errors import LogUnavailable, Refused
from gateway.kinds import Kind, Listed
from gateway.model import Code
from gateway.registry import lockfile
from tests.listing.servers import Server, Several, several, tool
from tests.path import DataPath


@pytest.fixture
def many(path: DataPath) -> Several:
    return several(path, {"notes": Server({Listed.TOOLS: [tool("read"), tool("write")]})})


async def test_what_was_pinned_is_recorded_and_written_beside_the_configuration(many: Several) -> None:
    await many.names(many.at("notes"))
    assert sorted(leaf["tool"] for leaf in many.path.leaves("pin.pinned")) == ["read", "write"]
    lock = lockfile.load(many.gw.settings.file.with_name("bascule.lock"))
    assert sorted(lock["notes"]) == ["read", "write"]


async def test_a_pin_that_could_not_be_recorded_is_recorded_when_the_log_is_back(
    many: Several, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> None:
        raise LogUnavailable("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(many.gw.log, "append", fails)
        with pytest.raises(Refused) as refused:
            await many.names(many.at("notes"))
        assert refused.value.code is Code.LOG_UNAVAILABLE
    assert many.path.leaves("pin.pinned") == []
    await many.names(many.at("notes"))
    assert len(many.path.leaves("pin.pinned")) == 2


async def test_pins_that_cannot_be_written_stop_every_list_until_they_are(many: Several) -> None:
    lock = many.gw.settings.file.with_name("bascule.lock")
    lock.mkdir()
    for _ in range(2):
        refusal = await many.refused(Kind.TOOL, "write", many.at("notes"))
        assert refusal.code is Code.UPSTREAM_UNAVAILABLE
    lock.rmdir()
    assert (await many.resolve(Kind.TOOL, "write", many.at("notes"))).name == "write"
    assert sorted(lockfile.load(lock)["notes"]) == ["read", "write"]
    assert len(many.path.leaves("pin.pinned")) == 2
