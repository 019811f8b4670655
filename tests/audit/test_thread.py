"""The thread beside the loop."""

import asyncio
import threading
from typing import Any

from gateway.audit.thread import Thread


async def test_jobs_run_elsewhere_in_order_and_report_on_the_loop() -> None:
    thread, told = Thread(), list[Any]()
    finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def done(result: Any, error: Exception | None) -> None:
        told.append((result, error, threading.current_thread() is threading.main_thread()))
        if len(told) == 3:
            finished.set_result(None)

    def fails() -> None:
        raise ValueError("no")

    thread.run(lambda: threading.current_thread().name, done)
    thread.run(fails, done)
    thread.run(lambda: 3, done)
    await finished
    assert told[0] == ("audit-log", None, True)
    assert isinstance(told[1][1], ValueError)
    assert told[2] == (3, None, True)
    thread.stop()


def test_a_loop_that_is_gone_does_not_hold_the_thread() -> None:
    thread, held = Thread(), threading.Event()

    async def leave() -> None:
        thread.run(held.wait, lambda _result, _error: None)

    others = set(threading.enumerate())
    asyncio.run(leave())
    (own,) = (each for each in threading.enumerate() if each not in others)
    held.set()
    own.join(60)
    assert not own.is_alive()


def test_a_thread_that_was_given_nothing_to_do_is_not_started() -> None:
    others = set(threading.enumerate())
    Thread().stop()
    assert set(threading.enumerate()) == others
