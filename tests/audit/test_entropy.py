"""Random bytes in blocks."""

import os
from concurrent.futures import ThreadPoolExecutor

from gateway.audit.entropy import BLOCK, Entropy


def test_no_byte_is_handed_out_twice() -> None:
    entropy = Entropy()
    drawn = [entropy.take(16) for _ in range(5 * BLOCK // 16)]
    assert len(set(drawn)) == len(drawn)
    assert {len(one) for one in drawn} == {16}


def test_threads_never_share_bytes() -> None:
    entropy = Entropy()
    with ThreadPoolExecutor(8) as pool:
        drawn = list(pool.map(lambda _: entropy.take(16), range(20_000)))
    assert len(set(drawn)) == len(drawn)


def test_more_than_a_block_is_drawn_whole() -> None:
    assert len(Entropy().take(BLOCK + 1)) == BLOCK + 1


def test_a_forked_child_draws_its_own() -> None:
    entropy = Entropy()
    entropy.take(16)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, entropy.take(16))
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 16)
    os.close(reading)
    os.close(writing)
    assert theirs != entropy.take(16)
