"""The RFC 6962 tree: hashes, inclusion and consistency proofs, and their verification. Pure.

Not a store: whoever asks for a proof says how to get the hash of a perfect subtree.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256

Node = Callable[[int, int], bytes]
"""`node(height, index)`: the hash over leaves `index << height` up to `(index + 1) << height`."""

EMPTY = sha256(b"").digest()


def leaf_hash(record: bytes) -> bytes:
    return sha256(b"\x00" + record).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def fold(frontier: Sequence[bytes]) -> bytes:
    """The root over perfect subtrees, largest first."""
    if not frontier:
        return EMPTY
    root = frontier[-1]
    for left in frontier[-2::-1]:
        root = sha256(b"\x01" + left + root).digest()
    return root


def perfect(hashes: Sequence[bytes]) -> bytes:
    """The root over a power of two of hashes."""
    while len(hashes) > 1:
        pairs = iter(hashes)
        hashes = [sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=True)]
    return hashes[0]


def subtree(first: int, end: int, node: Node) -> bytes:
    """The hash over leaves `first <= i < end`, where `first` is a multiple of the next power of two."""
    parts = []
    while first < end:
        height = (end - first).bit_length() - 1
        parts.append(node(height, first >> height))
        first += 1 << height
    return fold(parts)


def inclusion(index: int, size: int, node: Node) -> list[bytes]:
    """The audit path of a leaf, from its sibling up (RFC 6962 2.1.1)."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    path = []
    first, end = 0, size
    while end - first > 1:
        half = 1 << (end - first - 1).bit_length() - 1
        if index < first + half:
            path.append(subtree(first + half, end, node))
            end = first + half
        else:
            path.append(subtree(first, first + half, node))
            first += half
    return path[::-1]


def consistency(old: int, size: int, node: Node) -> list[bytes]:
    """The proof that the tree of `old` leaves is a prefix of the tree of `size` (RFC 6962 2.1.2)."""
    if not 0 <= old <= size:
        raise ValueError(f"a tree of {old} is no prefix of one of {size}")
    if old in {0, size}:
        return []
    path = []
    first, end, whole = 0, size, True
    while old != end:
        half = 1 << (end - first - 1).bit_length() - 1
        if old <= first + half:
            path.append(subtree(first + half, end, node))
            end = first + half
        else:
            path.append(subtree(first, first + half, node))
            first += half
            whole = False
    if not whole:
        path.append(subtree(first, end, node))
    return path[::-1]


def root_of_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes]) -> bytes:
    """The root that a path claims (RFC 9162 2.1.3.2). ValueError where the path has the wrong length."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    place, last, root = index, size - 1, leaf
    for sibling in path:
        if not last:
            raise ValueError("the path is too long")
        if place & 1 or place == last:
            root = node_hash(sibling, root)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        place, last = place >> 1, last >> 1
    if last:
        raise ValueError("the path is too short")
    return root


def is_consistent(old: int, old_root: bytes, size: int, root: bytes, path: Sequence[bytes]) -> bool:
    """Whether a proof shows the old tree to be a prefix of the new one (RFC 9162 2.1.4.2)."""
    if not 0 <= old <= size:
        return False
    if old == size:
        return not path and old_root == root
    if old == 0:
        return not path and old_root == EMPTY
    if not path:
        return False
    steps = list(path) if old & (old - 1) else [old_root, *path]
    place, last = old - 1, size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    return _walk(steps, place, last) == (old_root, root)


def _walk(steps: Sequence[bytes], place: int, last: int) -> tuple[bytes, bytes] | None:
    before = after = steps[0]
    for sibling in steps[1:]:
        if not last:
            return None
        if place & 1 or place == last:
            before, after = node_hash(sibling, before), node_hash(sibling, after)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            after = node_hash(after, sibling)
        place, last = place >> 1, last >> 1
    return None if last else (before, after)
