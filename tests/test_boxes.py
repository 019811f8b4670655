"""Bytes that lie in the store and are not to be read there."""

import pytest

from gateway.boxes import Box
from gateway.errors import Unreadable

BOX = Box(b"k" * 32, b"tests v1")


def test_what_was_sealed_opens_again_under_its_name_and_looks_different_each_time() -> None:
    one, other = BOX.seal("a", b"content"), BOX.seal("a", b"content")
    assert one != other
    assert b"content" not in one
    assert BOX.opened("a", one) == BOX.opened("a", other) == b"content"


@pytest.mark.parametrize(
    ("box", "name", "changed"),
    [
        (BOX, "b", lambda stored: stored),
        (BOX, "a", lambda stored: stored[:-1] + bytes([stored[-1] ^ 1])),
        (BOX, "a", lambda stored: stored[:5]),
        (BOX, "a", lambda _: b""),
        (Box(b"k" * 32, b"tests v2"), "a", lambda stored: stored),
        (Box(b"x" * 32, b"tests v1"), "a", lambda stored: stored),
    ],
    ids=["another name", "changed", "cut", "empty", "another purpose", "another key"],
)
def test_what_is_not_as_it_was_sealed_does_not_open(box: Box, name: str, changed: object) -> None:
    assert callable(changed)
    with pytest.raises(Unreadable, match=f"what is stored of {name} does not open"):
        box.opened(name, changed(BOX.seal("a", b"content")))
