"""What holds on asyncio's own loop holds on uvloop, whose pipes and processes are its own: the gateway runs on that."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from tests.executors.stdio import test_upstream as held
from tests.executors.stdio import test_upstream_feeds as feeds
from tests.executors.stdio import test_upstream_told as told
from tests.executors.stdio.test_upstream import INVALID, UNAVAILABLE

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.executors.stdio.server.GRACE_SECONDS", 0.3)


@pytest.mark.parametrize(
    "scenario",
    [
        lambda: held.test_a_call_finds_its_answer_whatever_surrounds_it("pieces", "ünï" * 9),
        lambda: held.test_a_call_finds_its_answer_whatever_surrounds_it("flood_stderr", "done"),
        lambda: held.test_what_is_no_answer_fails_the_call_and_the_next_one_works("die", UNAVAILABLE, True),
        lambda: held.test_what_is_no_answer_fails_the_call_and_the_next_one_works("killed", UNAVAILABLE, True),
        lambda: held.test_what_is_no_answer_fails_the_call_and_the_next_one_works("half", UNAVAILABLE, True),
        lambda: held.test_what_is_no_answer_fails_the_call_and_the_next_one_works("flood_stdout", INVALID, True),
        held.test_a_time_out_withdraws_the_call_and_the_process_stays,
        held.test_a_server_that_does_not_read_hangs_no_call_and_is_not_fed_for_ever,
        held.test_a_thousand_calls_at_once_each_get_their_own_answer,
        held.test_two_principals_never_share_a_process_unless_all_do,
        held.test_the_idle_end_and_the_next_call_starts_another,
        held.test_a_program_that_is_not_there_is_said_to_the_operator_only,
        held.test_closing_lets_a_call_end_and_takes_no_more,
        held.test_closing_in_the_middle_of_a_handshake_leaves_no_process,
        held.test_stderr_is_kept_bounded_without_secrets_and_in_no_reason,
        lambda: told.test_a_cancelled_call_is_withdrawn_and_the_process_stays("legacy"),
        told.test_silence_after_progress_is_a_time_out_all_the_same,
        told.test_a_process_that_asks_in_a_loop_is_stopped_by_refusals,
        lambda: feeds.test_updates_reach_those_who_subscribed_in_their_own_process_and_nobody_else("modern"),
        lambda: feeds.test_updates_reach_those_who_subscribed_in_their_own_process_and_nobody_else("legacy"),
        lambda: feeds.test_the_end_of_the_process_ends_the_feed_that_was_subscribed_there("modern"),
        feeds.test_closing_ends_every_feed_and_none_begins_after_it,
    ],
)
def test_the_same_holds_on_uvloop(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())
