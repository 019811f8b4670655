"""Inclusion proofs as `c2sp.org/tlog-proof@v1`: one leaf, its path and a signed head, checked offline by anyone.

Not online and not about payloads: what a leaf commits to is opened by whoever holds it.
"""

import re
from base64 import b64decode, b64encode

from gateway.audit import merkle, note, tiles
from gateway.storage.database import Reader

FIRST = "c2sp.org/tlog-proof@v1"
INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})")


class BadProof(ValueError):
    """The text is no proof, or does not prove this record. The message says which."""


def prove(reader: Reader, index: int, *, head: str | None = None) -> str:
    """The proof that leaf `index` is under `head`, or under the newest stored one. A tile is read per level.

    Raises:
        BadProof: no head covers the leaf (yet).
    """
    with reader.snapshot():
        if head is None:
            newest = reader.head()
            head = newest.note if newest is not None else None
        size = note.parse_checkpoint(head.rpartition("\n\n")[0] + "\n").size if head is not None else 0
        if head is None or not 0 <= index < size:
            raise BadProof(f"leaf {index} is not under a signed head: the newest covers {size}")
        path = merkle.inclusion(index, size, tiles.node_reader(reader, size))
    lines = [FIRST, f"index {index}", *(b64encode(step).decode() for step in path)]
    return "\n".join(lines) + "\n\n" + head


def check_proof(proof: str, record: bytes, vkey: str) -> note.Checkpoint:
    """The head under which these bytes are proven to be, by the log of this public key.

    Raises:
        BadProof: they are not.
        BadNote: the head is not signed by this key.
    """
    upper, blank, head = proof.partition("\n\n")
    lines = upper.split("\n")
    if not blank or lines.pop(0) != FIRST:
        raise BadProof("no tlog-proof@v1")
    if lines and lines[0].startswith("extra "):
        lines.pop(0)
    match = INDEX.fullmatch(lines.pop(0)) if lines else None
    if match is None:
        raise BadProof("no index")
    try:
        path = [b64decode(line, validate=True) for line in lines]
    except ValueError:
        raise BadProof("a step is not base64") from None
    if any(len(step) != 32 for step in path):
        raise BadProof("a step is not 32 bytes")
    said = note.open_checkpoint(head, note.verifier(vkey))
    try:
        root = merkle.root_of_inclusion(int(match[1]), said.size, merkle.leaf_hash(record), path)
    except ValueError as error:
        raise BadProof(str(error)) from None
    if root != said.root:
        raise BadProof("these bytes are not that leaf")
    return said
