"""The tree against the specification's vectors, another library, and itself from the other side."""

from functools import cache

import pymerkle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit import merkle

MOST = 130
LEAVES = [merkle.leaf_hash(str(index).encode()) for index in range(MOST)]
OTHER = merkle.leaf_hash(b"another")

# The leaves and roots that the Certificate Transparency code base has always been tested with.
KNOWN = [
    ("", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
    ("00", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
    ("10", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
    ("2021", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"),
    ("3031", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
    ("40414243", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"),
    ("5051525354555657", "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
    ("606162636465666768696a6b6c6d6e6f", "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
]


@cache
def node(height: int, index: int) -> bytes:
    return merkle.perfect(LEAVES[index << height : (index + 1) << height])


@cache
def root(size: int) -> bytes:
    return merkle.subtree(0, size, node)


def test_the_roots_are_those_of_the_known_vectors() -> None:
    hashes = [merkle.leaf_hash(bytes.fromhex(leaf)) for leaf, _ in KNOWN]
    for size, (_, expected) in enumerate(KNOWN, start=1):
        found = merkle.subtree(
            0, size, lambda height, index: merkle.perfect(hashes[index << height : (index + 1) << height])
        )
        assert found.hex() == expected
    assert merkle.fold([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_the_roots_are_those_of_another_library() -> None:
    other = pymerkle.InmemoryTree(algorithm="sha256")
    for size in range(1, MOST + 1):
        other.append(str(size - 1).encode())
        assert other.get_state() == root(size)


def test_every_leaf_of_every_small_tree_has_a_proof_and_no_other_leaf_has_it() -> None:
    for size in range(1, MOST + 1):
        expected = root(size)
        for index in range(size):
            path = merkle.inclusion(index, size, node)
            assert merkle.root_of_inclusion(index, size, LEAVES[index], path) == expected
            assert merkle.root_of_inclusion(index, size, OTHER, path) != expected
            if size > 1:
                wrong = [*path[:-1], bytes(32)]
                assert merkle.root_of_inclusion(index, size, LEAVES[index], wrong) != expected


def test_every_small_tree_is_consistent_with_every_smaller_one_and_with_no_other() -> None:
    for size in range(1, MOST + 1):
        for old in range(size + 1):
            path = merkle.consistency(old, size, node)
            assert merkle.is_consistent(old, root(old), size, root(size), path)
            assert not merkle.is_consistent(old, OTHER, size, root(size), path)
            assert not merkle.is_consistent(old, root(old), size, OTHER, path) or old == 0
            assert not merkle.is_consistent(old, root(old), size, root(size), [*path, OTHER])
            if path:
                assert not merkle.is_consistent(old, root(old), size, root(size), path[:-1])


@given(st.data())
def test_a_proof_holds_only_for_its_own_index(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, MOST))
    index, other = data.draw(st.lists(st.integers(0, size - 1), min_size=2, max_size=2, unique=True))
    path = merkle.inclusion(index, size, node)
    try:
        assert merkle.root_of_inclusion(other, size, LEAVES[index], path) != root(size)
    except ValueError as error:
        assert "path is too" in str(error)  # noqa: PT017 - both outcomes are a refusal


@pytest.mark.parametrize(("index", "size"), [(-1, 5), (5, 5), (0, 0)])
def test_a_leaf_outside_the_tree_has_no_proof(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="is not in a tree"):
        merkle.inclusion(index, size, node)
    with pytest.raises(ValueError, match="is not in a tree"):
        merkle.root_of_inclusion(index, size, OTHER, [])


@pytest.mark.parametrize(("index", "size", "extra"), [(0, 1, 1), (3, 8, 1), (3, 8, -1), (6, 7, -1), (6, 7, 1)])
def test_a_path_of_another_length_is_refused(index: int, size: int, extra: int) -> None:
    path = merkle.inclusion(index, size, node)
    path = [*path, OTHER] if extra > 0 else path[:-1]
    with pytest.raises(ValueError, match="path is too"):
        merkle.root_of_inclusion(index, size, LEAVES[index], path)


@pytest.mark.parametrize(("old", "size"), [(6, 5), (-1, 5)])
def test_a_tree_is_no_prefix_of_a_smaller_one(old: int, size: int) -> None:
    with pytest.raises(ValueError, match="is no prefix"):
        merkle.consistency(old, size, node)
    assert not merkle.is_consistent(old, OTHER, size, OTHER, [])
