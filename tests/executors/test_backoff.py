import pytest

from gateway.executors.backoff import LONGEST_SECONDS, Backoff


def test_nothing_waits_before_the_first_failure() -> None:
    assert Backoff(lambda: 0.0, lambda: 1.0).remaining() == 0


def test_the_wait_doubles_up_to_its_bound_and_one_success_ends_it() -> None:
    now = [0.0]
    backoff = Backoff(lambda: now[0], lambda: 1.0)
    waits = []
    for _ in range(10):
        backoff.failed(now[0])
        waits.append(backoff.remaining())
        now[0] += waits[-1]
        assert backoff.remaining() == 0
    assert waits == [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    backoff.succeeded()
    assert backoff.remaining() == 0
    backoff.failed(now[0])
    assert backoff.remaining() == 0.25


@pytest.mark.parametrize(("jitter", "share"), [(0.0, 0.5), (0.5, 0.75), (1.0, 1.0)])
def test_jitter_shortens_the_wait_by_up_to_half(jitter: float, share: float) -> None:
    backoff = Backoff(lambda: 0.0, lambda: jitter)
    backoff.failed(0.0)
    assert backoff.remaining() == 0.25 * share


def test_attempts_side_by_side_count_as_one_failure() -> None:
    now = [10.0]
    backoff = Backoff(lambda: now[0], lambda: 1.0)
    for _ in range(64):
        backoff.failed(9.0)
    assert backoff.remaining() == 0.25


def test_very_many_failures_overflow_nothing() -> None:
    now = [0.0]
    backoff = Backoff(lambda: now[0], lambda: 1.0)
    for _ in range(5000):
        backoff.failed(now[0])
    assert backoff.remaining() == LONGEST_SECONDS
