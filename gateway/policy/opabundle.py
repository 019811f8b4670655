"""A policy bundle as the tarball that an OPA server loads: gzip, a manifest, the same Rego and data.

Not what the gateway stores (`Bundle.content`): this is made from it for whoever runs the server.
"""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from gateway.errors import ConfigError
from gateway.model import Digest
from gateway.policy import archive
from gateway.policy.bundle import DATA, Bundle, load

MANIFEST = ".manifest"
ROOTS = ("",)
"""All of `data`: OPA then refuses a second bundle beside this one, and every write over its API. What an answer
depends on is under our digest or it is not there."""


@dataclass(frozen=True, slots=True)
class Built:
    """A tarball, and the revision that every answer from it has to name."""

    revision: Digest
    content: bytes


def build(place: Path, live: Mapping[str, Path]) -> Built:
    """The tarball of a folder of policies and of live data files by name, as a gateway with `engine: opa` loads them.

    Raises:
        ConfigError: a gateway would not load it either.
    """
    bundle = load(place, {name: _bytes(file) for name, file in live.items()}, engine="opa")
    return Built(bundle.digest, tarball(bundle))


def tarball(bundle: Bundle) -> bytes:
    """The same bundle gives the same tarball; its revision is the bundle's digest."""
    parts = {path: text.encode() for path, text in bundle.files.items()}
    parts[DATA] = orjson.dumps(bundle.data, option=orjson.OPT_SORT_KEYS)
    parts[MANIFEST] = orjson.dumps({"revision": bundle.digest, "roots": ROOTS, "rego_version": 1})
    return gzip.compress(archive.pack(parts), mtime=0)


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=str(file)) from None
