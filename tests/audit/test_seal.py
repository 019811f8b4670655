"""What is sealed opens only whole, unchanged, with its key and for its leaf."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit import seal

MASTER, LEAF = bytes(32), "01890a5d-ac96-774b-bcce-b302099a8057"
VALUES = {"args": b'{"a":1}', "empty": b"", "result": bytes(5000)}


@given(st.dictionaries(st.text("abc_", min_size=1, max_size=9), st.binary(max_size=300), max_size=8))
def test_sealed_values_come_back_and_open_their_commitments(values: dict[str, bytes]) -> None:
    commitments, container = seal.commit(values)
    found = seal.unseal(MASTER, LEAF, *seal.seal(MASTER, LEAF, container))
    assert {name: value for name, (_, value) in found.items()} == values
    assert seal.opened(MASTER, LEAF, *seal.seal(MASTER, LEAF, container)) == values
    assert commitments.keys() == values.keys()
    assert all(seal.opens(commitments[name], *found[name]) for name in values)


def test_equal_values_have_unequal_commitments_and_ciphertexts() -> None:
    one, container = seal.commit({"a": b"yes", "b": b"yes"})
    other, _ = seal.commit({"a": b"yes", "b": b"yes"})
    assert len({*one.values(), *other.values()}) == 4
    (salt, sealed), (other_salt, other_sealed) = (seal.seal(MASTER, LEAF, container) for _ in range(2))
    assert salt != other_salt
    assert sealed != other_sealed


def test_a_commitment_opens_only_with_its_own_salt_and_value() -> None:
    commitments, container = seal.commit(VALUES)
    found = seal.unseal(MASTER, LEAF, *seal.seal(MASTER, LEAF, container))
    salt, value = found["args"]
    assert not seal.opens(commitments["args"], bytes(16), value)
    assert not seal.opens(commitments["args"], salt, value + b" ")
    assert not seal.opens(None, salt, value)


def test_a_payload_changed_in_any_byte_does_not_open() -> None:
    salt, sealed = seal.seal(MASTER, LEAF, seal.commit({"a": b"secret"})[1])
    for place in range(len(sealed)):
        with pytest.raises(seal.Unsealable):
            seal.unseal(MASTER, LEAF, salt, sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :])
    for place in range(len(salt)):
        with pytest.raises(seal.Unsealable):
            seal.unseal(MASTER, LEAF, salt[:place] + bytes([salt[place] ^ 1]) + salt[place + 1 :], sealed)


def test_a_payload_opens_neither_for_another_leaf_nor_with_another_key() -> None:
    salt, sealed = seal.seal(MASTER, LEAF, seal.commit(VALUES)[1])
    for master, leaf in ((MASTER, LEAF[:-1] + "8"), (bytes(31) + b"\x01", LEAF)):
        with pytest.raises(seal.Unsealable):
            seal.unseal(master, leaf, salt, sealed)


@pytest.mark.parametrize("cut", [0, 1, 2, 5, 20, 60, -1])
def test_a_container_of_another_length_is_refused(cut: int) -> None:
    container = seal.commit(VALUES)[1]
    broken = container + b"x" if cut == -1 else container[:cut]
    with pytest.raises(seal.Unsealable, match="container"):
        seal.unseal(MASTER, LEAF, *seal.seal(MASTER, LEAF, broken))
