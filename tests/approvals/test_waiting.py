"""Who holds on for a request, and what of it is stored sealed."""

import asyncio
from dataclasses import replace

import pytest

from gateway.approvals.waiting import Requests
from gateway.errors import Unreadable
from gateway.storage.sqlite import SqliteReader
from gateway.storage.tables.approvals import ApprovalRow


def requests(secret: bytes = b"k" * 32) -> Requests:
    return Requests(SqliteReader.__new__(SqliteReader), secret, lambda: 1000.0)


def row(doc: bytes) -> ApprovalRow:
    return ApprovalRow("a1", "r1", "t", "agent", "sha256:", "notes", "write", (), "waiting", 0, 2000, doc)


async def test_everybody_who_holds_on_is_woken_and_nobody_is_kept() -> None:
    held = requests()
    waiting = [asyncio.ensure_future(held.changed("a1", 60)) for _ in range(3)]
    other = asyncio.ensure_future(held.changed("a2", 60))
    await asyncio.sleep(0)
    held.wake("a1")
    await asyncio.gather(*waiting)
    assert not other.done()
    assert list(held._holding) == ["a2"]
    other.cancel()
    await asyncio.wait([other])
    assert held._holding == {}


async def test_a_request_that_nobody_holds_on_for_can_be_woken() -> None:
    requests().wake("a1")


async def test_holding_on_ends_by_itself() -> None:
    await requests().changed("a1", 0)


def test_what_is_asked_opens_only_where_it_was_sealed() -> None:
    held = requests()
    doc = held.seal("a1", b"what is asked")
    assert b"what" not in doc
    assert held.opened(row(doc)) == b"what is asked"
    for wrong in (row(doc[:-1] + bytes([doc[-1] ^ 1])), replace(row(doc), approval="a2"), row(b"")):
        with pytest.raises(Unreadable, match="does not open"):
            held.opened(wrong)
    with pytest.raises(Unreadable, match="does not open"):
        requests(b"j" * 32).opened(row(doc))
