"""Proofs that a stranger checks with a public key and the record's bytes."""

import pytest

from gateway.audit import note, proof
from tests.audit.samples import Store, boot, call, fill, run_id, settled


async def test_every_leaf_of_a_log_is_proven_by_its_bytes_alone(store: Store) -> None:
    await fill(store, 600)
    reader = store.reader()
    for index in (0, 1, 2, 255, 256, 257, 511, 512, reader.count() - 1):
        record = reader.leaf(index)
        assert record is not None
        text = proof.prove(reader, index)
        said = proof.check_proof(text, record, store.keys.vkey)
        assert said.size == reader.count()
        with pytest.raises(proof.BadProof, match="not that leaf"):
            proof.check_proof(text, record + b" ", store.keys.vkey)
    reader.close()


async def test_a_proof_is_of_the_published_format(store: Store) -> None:
    await fill(store, 8)
    reader = store.reader()
    lines = proof.prove(reader, 3).split("\n")
    assert lines[:2] == ["c2sp.org/tlog-proof@v1", "index 3"]
    assert all(len(line) == 44 for line in lines[2 : lines.index("")])
    assert lines[lines.index("") + 1] == store.keys.origin
    reader.close()


async def test_a_leaf_under_no_signed_head_has_no_proof(store: Store) -> None:
    log = store.open(sign_after=3600)
    signed = await log.head()
    await call(log)
    reader = store.reader()
    assert note.parse_checkpoint(signed.rpartition("\n\n")[0] + "\n").size == 0
    with pytest.raises(proof.BadProof, match="not under a signed head"):
        proof.prove(reader, 0)
    await log.head()
    assert proof.prove(reader, 1)
    for index in (-1, 2):
        with pytest.raises(proof.BadProof):
            proof.prove(reader, index)
    reader.close()
    await log.close()


async def test_a_leaf_is_proven_under_an_older_head_too(store: Store) -> None:
    log = store.open()
    await log.append(*boot())
    await call(log)
    old = await log.head()
    await log.append([settled(run_id())] * 300)
    await log.close()
    reader = store.reader()
    record = reader.leaf(2)
    assert record is not None
    assert proof.check_proof(proof.prove(reader, 2, head=old), record, store.keys.vkey).size == 3
    reader.close()


async def test_a_changed_proof_is_refused(store: Store) -> None:
    await fill(store, 8)
    reader = store.reader()
    record, text = reader.leaf(3), proof.prove(reader, 3)
    reader.close()
    assert record is not None
    step = text.split("\n")[2]
    extra = text.replace("index 3", "extra AAAA\nindex 3")
    assert proof.check_proof(extra, record, store.keys.vkey).size == 9
    changes = {
        "no tlog-proof": text.replace("@v1", "@v2"),
        "no index": text.replace("index 3", "index 03"),
        "path is too": text.replace("index 3", "index 6").replace(step + "\n", ""),
        "too short": text.replace(step + "\n", "", 1),
        "too long": text.replace(step, step + "\n" + step),
        "not that leaf": text.replace("index 3", "index 2"),
        "32 bytes": text.replace(step, "AAAA"),
        "base64": text.replace(step, "!" * 44),
    }
    for why, changed in changes.items():
        assert changed != text
        with pytest.raises(proof.BadProof, match=why):
            proof.check_proof(changed, record, store.keys.vkey)
    for broken in ("", "c2sp.org/tlog-proof@v1", "c2sp.org/tlog-proof@v1\n\n" + text.partition("\n\n")[2]):
        with pytest.raises(proof.BadProof):
            proof.check_proof(broken, record, store.keys.vkey)
    with pytest.raises(note.BadNote):
        proof.check_proof(text.replace(f"\n{store.keys.origin}\n", "\nother\n"), record, store.keys.vkey)
