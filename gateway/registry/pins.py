"""The digest of a tool definition: SHA-256 over its canonical JSON (RFC 8785).

`canonical` takes orjson's sorted form where it is provably the same bytes and rfc8785's own everywhere else.
"""

import hashlib
import json
import re

import orjson
import rfc8785

from gateway.model import Digest, JsonObject

_NOT_SURE = re.compile(rb"[:\[,](?:-?[0-9]+(?:[.eE]|[0-9]{15})|null)|[\xf0-\xf4]")
"""A float, an integer of 16 digits or more, a null (orjson writes infinities so), a code point beyond the BMP (keys
sort by UTF-16): there rfc8785 decides."""


def canonical(definition: JsonObject) -> bytes:
    """Canonical JSON; ValueError where there is none (a float out of range, an integer beyond 2^53, a surrogate)."""
    try:
        plain = orjson.dumps(definition, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        plain = b""
    if plain and not _NOT_SURE.search(plain):
        return plain
    try:
        return rfc8785.dumps(definition)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeError:
        raise ValueError("it holds a lone surrogate") from None


def digest(definition: JsonObject) -> Digest:
    """The pin's digest; ValueError where the definition has no canonical form."""
    return Digest("sha256:" + hashlib.sha256(canonical(definition)).hexdigest())


def fingerprint(definition: JsonObject) -> bytes | None:
    """A cheap sign of identity within this process: equal ones mean equal definitions, None means unknown."""
    try:
        plain = orjson.dumps(definition, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return None
    if b"null" in plain:  # orjson writes an infinity so, too
        plain = json.dumps(definition, sort_keys=True).encode()
    return hashlib.blake2b(plain, digest_size=16).digest()
