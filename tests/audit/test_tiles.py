"""The growing tree against the plain one, and the tree read back from tiles."""

import random
from collections.abc import Iterator
from typing import Any, cast

import pytest

from gateway.audit import merkle
from gateway.audit.note import verifier
from gateway.audit.tiles import Tree, node_reader, rebuilt, trusted
from gateway.errors import Fatal
from gateway.storage.database import Reader, Tile
from tests.audit.samples import Store, call

RECORDS = [b"%d" % index for index in range(66_100)]
HASHES = [merkle.leaf_hash(record) for record in RECORDS]
SIZES = [0, 1, 2, 3, 255, 256, 257, 511, 512, 513, 1000, 65_535, 65_536, 65_537, 65_793, 66_100]


def root(size: int) -> bytes:
    return merkle.subtree(
        0, size, lambda height, index: merkle.perfect(HASHES[index << height : (index + 1) << height])
    )


class Stored:
    """A reader of records and tiles in memory."""

    def __init__(self, size: int) -> None:
        self.size = size
        _, made = Tree().extended(HASHES[:size])
        self.all = {(tile.level, tile.n): tile for tile in made}

    def leaves(self, first: int, end: int) -> Iterator[tuple[int, bytes, bytes]]:
        return ((index, HASHES[index], RECORDS[index]) for index in range(first, min(end, self.size)))

    def tile(self, level: int, n: int) -> Tile | None:
        return self.all.get((level, n))

    def tile_roots(self, level: int, first: int, end: int) -> list[bytes]:
        return [self.all[level, n].root for n in range(first, end) if (level, n) in self.all]


STORED = Stored(66_100)


@pytest.mark.parametrize("size", SIZES)
def test_a_tree_grown_in_batches_of_any_length_has_the_plain_root(size: int) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    tree, at = Tree(), 0
    while at < size:
        step = min(chance.choice([1, 2, 7, 16, 300, 5000]), size - at)
        tree, _ = tree.extended(HASHES[at : at + step])
        at += step
    assert tree.size == size
    assert tree.root == root(size)
    assert (tree, []) == tree.extended([])


def test_the_tiles_hold_every_hash_of_their_level_once() -> None:
    levels: dict[int, list[Any]] = {0: [], 1: []}
    for (level, n), tile in sorted(STORED.all.items()):
        assert n == len(levels[level])
        levels[level].append(tile)
        assert tile.root == merkle.perfect([tile.hashes[at : at + 32] for at in range(0, 8192, 32)])
    assert b"".join(tile.hashes for tile in levels[0]) == b"".join(HASHES[: 258 * 256])
    assert [tile.hashes for tile in levels[1]] == [b"".join(tile.root for tile in levels[0][:256])]


@pytest.mark.parametrize("size", SIZES)
def test_a_tree_read_back_is_the_tree_that_was_grown(size: int) -> None:
    grown, _ = Tree().extended(HASHES[:size])
    assert rebuilt(cast("Reader", STORED), size) == grown


@pytest.mark.parametrize("size", SIZES[1:])
def test_proofs_from_tiles_hold_and_read_a_tile_per_level(size: int) -> None:
    expected = root(size)
    for index in {0, size // 2, size - 1}:
        reader = Stored(size)
        read: list[tuple[int, int]] = []
        plain = reader.tile
        reader.tile = lambda level, n, plain=plain, read=read: (read.append((level, n)), plain(level, n))[1]  # type: ignore[method-assign, misc]
        path = merkle.inclusion(index, size, node_reader(cast("Reader", reader), size))
        assert merkle.root_of_inclusion(index, size, HASHES[index], path) == expected
        assert len(read) <= 5


def test_a_tile_that_is_not_stored_stops_the_reading() -> None:
    reader = Stored(1000)
    del reader.all[0, 1]
    with pytest.raises(Fatal, match="level 1 of the tree lacks entries"):
        rebuilt(cast("Reader", reader), 1000)


async def test_a_store_that_contradicts_itself_is_not_trusted(store: Store) -> None:
    log = store.open()
    await call(log)
    await log.close()
    reader = store.reader()
    tree, head = trusted(reader, verifier(store.keys.vkey))
    assert (tree.size, head and head.size) == (2, 2)
    reader.close()
