"""The growing tree as 256-wide C2SP hash tiles, and the tree rebuilt from what is stored.

Only complete tiles are stored; the entries of a partial one are leaf hashes, or roots of the tiles below.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from gateway.audit import merkle, note
from gateway.errors import Fatal
from gateway.storage.database import Head, Reader, Tile, TreeRow

WIDTH = 256


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree of `size` leaves: its frontier, and the entries of the partial tile at each level."""

    size: int = 0
    frontier: tuple[bytes, ...] = ()
    edges: tuple[tuple[bytes, ...], ...] = ((),)

    @property
    def root(self) -> bytes:
        return merkle.fold(self.frontier)

    @property
    def row(self) -> TreeRow:
        return TreeRow(self.size, self.root, b"".join(self.frontier))

    def extended(self, hashes: Iterable[bytes]) -> tuple["Tree", list[Tile]]:
        """The tree with these leaves added, and the tiles that became complete. HOT"""
        size, stack, tiles = self.size, list(self.frontier), list[Tile]()
        edges = [list(edge) for edge in self.edges]
        leaves = edges[0]
        for leaf in hashes:
            leaves.append(leaf)
            node, place, height = leaf, size, 0
            while place & 1:
                node = sha256(b"\x01" + stack.pop() + node).digest()
                place >>= 1
                height += 1
                if not height & 7:
                    level = height >> 3
                    tiles.append(Tile(level - 1, size >> height, node, b"".join(edges[level - 1])))
                    edges[level - 1].clear()
                    if level == len(edges):
                        edges.append([])
                    edges[level].append(node)
            stack.append(node)
            size += 1
        return Tree(size, tuple(stack), tuple(tuple(edge) for edge in edges)), tiles


def rebuilt(reader: Reader, size: int) -> Tree:
    """The tree over the first `size` leaves, from tiles and the last few leaf hashes.

    Raises:
        Fatal: something needed is not stored.
    """
    edges: list[tuple[bytes, ...]] = []
    frontier: list[bytes] = []
    level, width = 0, size
    while width or not edges:
        entries = tuple(_entries(reader, level, width - width % WIDTH, width))
        edges.append(entries)
        part: list[bytes] = []
        at = 0
        for height in range(7, -1, -1):
            if len(entries) >> height & 1:
                part.append(merkle.perfect(entries[at : at + (1 << height)]))
                at += 1 << height
        frontier = part + frontier
        level, width = level + 1, width // WIDTH
    return Tree(size, tuple(frontier), tuple(edges))


def _entries(reader: Reader, level: int, first: int, end: int) -> list[bytes]:
    """Entries of one level that may lie in a partial tile."""
    if level:
        found = reader.tile_roots(level - 1, first, end)
    else:
        found = [merkle.leaf_hash(record) for _, _, record in reader.leaves(first, end)]
    if len(found) != end - first:
        raise Fatal(f"level {level} of the tree lacks entries between {first} and {end}")
    return found


def node_reader(reader: Reader, size: int) -> merkle.Node:
    """Hashes of perfect subtrees of a stored tree, a tile per level."""
    kept: dict[tuple[int, int], list[bytes]] = {}

    def tile(level: int, n: int) -> list[bytes]:
        if (level, n) not in kept:
            whole = reader.tile(level, n)
            if whole is None:
                kept[level, n] = _entries(reader, level, n * WIDTH, min((n + 1) * WIDTH, size >> 8 * level))
            else:
                kept[level, n] = [whole.hashes[at : at + 32] for at in range(0, len(whole.hashes), 32)]
        return kept[level, n]

    def node(height: int, index: int) -> bytes:
        level, up = divmod(height, 8)
        first = index << up
        at = first % WIDTH
        return merkle.perfect(tile(level, first // WIDTH)[at : at + (1 << up)])

    return node


UNSIGNED_START = 32
"""A start signs its first records before it listens: more than these were under a head once."""


def trusted(reader: Reader, known: note.Verifier) -> tuple[Tree, Head | None]:
    """The stored tree and its newest head, where leaves, tiles, row and signature agree.

    Raises:
        Fatal: they contradict each other; building on them would hide it.
    """
    row, head = reader.tree(), reader.head()
    if reader.count() != row.size:
        raise Fatal(f"{reader.count()} leaves are stored, the tree says {row.size}")
    tree = rebuilt(reader, row.size)
    if tree.row != row:
        raise Fatal(f"the stored leaves do not make the stored root of size {row.size}")
    if head is None:
        if row.size > UNSIGNED_START:
            raise Fatal(f"{row.size} leaves are stored and no signed head: the heads were taken away")
        return tree, None
    try:
        said = note.open_checkpoint(head.note, known)
    except note.BadNote as error:
        raise Fatal(f"the head of size {head.size}: {error}") from error
    if said.size != head.size or said.size > row.size:
        raise Fatal(f"{row.size} leaves are stored, the newest head says {said.size}: the log was cut or restored")
    if rebuilt(reader, said.size).root != said.root:
        raise Fatal(f"the stored leaves do not make the signed root of size {said.size}")
    return tree, head
