"""Cursors: where a page of a list ended, opaque to clients.

Not sealed: what is in one was shown to whoever holds it, and every page is filtered anew.
"""

import base64
import binascii
from typing import Final

import orjson

from gateway.errors import Malformed
from gateway.kinds import Listed
from gateway.model import Code
from gateway.registry.rolls import Place
from gateway.wire.jsonrpc import INVALID_PARAMS

LONGEST: Final = 65_536


def written(what: Listed, place: Place) -> str:
    """The cursor of a place in a list."""
    return base64.urlsafe_b64encode(orjson.dumps([what.value, *place])).decode().rstrip("=")


def read(what: Listed, cursor: object) -> Place:
    """The place a cursor of this list names.

    Raises:
        Malformed: we wrote no such cursor.
    """
    if type(cursor) is not str or not 0 < len(cursor) <= LONGEST or not cursor.isascii():
        raise not_ours()
    try:
        value = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError):
        raise not_ours() from None
    if type(value) is not list or len(value) != 3 or not all(type(part) is str for part in value):
        raise not_ours()
    place = Place(value[1], value[2])
    if value[0] != what or written(what, place) != cursor:
        raise not_ours()
    return place


def not_ours() -> Malformed:
    """The refusal of a cursor."""
    return Malformed(Code.PARSE, "the cursor is not one of ours", jsonrpc=INVALID_PARAMS)
