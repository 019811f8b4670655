"""What others fell into before us, each with the tests that hold it: that they are there, not what they prove."""

import ast
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent
TRAPS: dict[str, tuple[str, ...]] = {
    # parsing and ways around a policy
    "a batch is refused whole": ("transports/test_mcp_sessions.py::test_a_batch_is_refused_whole_in_every_revision",),
    "another content type does not pass by the judging": (
        "transports/test_http.py::test_only_json_is_read",
        "transports/test_http.py::test_a_body_without_a_content_type_is_not_read",
    ),
    "a body is bounded before it is parsed": (
        "transports/test_http.py::test_a_body_is_read_up_to_the_limit_and_no_further",
    ),
    "no two parsers read a message differently": (
        "attacks/test_arguments.py::test_bytes_that_two_parsers_could_read_differently_never_become_a_call",
        "attacks/test_arguments.py::test_what_goes_upstream_is_our_own_serialisation",
    ),
    "depth ends nothing": (
        "wire/test_jsonrpc.py::test_nesting_far_beyond_any_limit_is_refused_and_crashes_nothing",
        "wire/test_jsonrpc.py::test_nesting_up_to_the_limit_is_accepted_and_one_more_is_not",
        "attacks/test_upstream_faults.py::test_an_answer_however_deep_does_not_erase_its_own_record",
    ),
    "headers say what the body says": (
        "attacks/test_arguments.py::test_a_header_that_names_another_call_than_the_body_is_refused",
        "executors/test_remote.py::test_a_modern_request_is_our_own_and_mirrors_what_was_judged",
        "attacks/test_trapped_headers.py::test_a_header_that_states_another_argument_than_the_body_ends_the_call",
        "attacks/test_trapped_headers.py::test_the_headers_of_a_call_are_made_again_from_what_was_judged",
        "executors/test_remote.py::test_the_tool_is_called_by_its_pinned_name_not_by_the_name_the_client_used",
    ),
    "what is judged is what runs": ("executors/test_messages.py::test_what_is_asked_is_what_was_judged",),
    "no form of an answer escapes the screening": (
        "executors/test_remote.py::test_answers_of_every_form_are_read",
        "executors/test_answer.py::test_what_is_no_message_or_answers_something_else_is_refused",
        "test_executing.py::test_secrets_and_hidden_text_do_not_leave_with_progress",
        "executors/test_faults.py::test_an_upstream_that",
        "executors/test_remote_answers.py::test_an_answer_that_is_right_but_compressed_is_refused_and_never_unpacked",
    ),
    "no rule at all is a refusal": (
        "test_pipeline.py::test_a_call_that_no_rule_allows_is_refused",
        "attacks/test_trapped_policies.py::test_where_no_rule_allows_nothing_runs",
    ),
    "an approval that nobody has to give is none": (
        "policy/test_demands.py::test_a_demand_that_nobody_could_meet_as_it_is_meant_is_an_engine_error",
        "test_approving.py::test_where_nobody_could_answer_nobody_is_asked",
    ),
    "a rule about an absent field is told at load": (
        "attacks/test_policy_faults.py::test_a_check_names_the_input_field_that_is_not_there",
    ),
    "one policy on every transport": ("attacks/test_rounds.py::test_one_policy_on_every_transport",),
    "ten thousand idle streams cost little": (
        "attacks/test_streams.py::test_ten_thousand_idle_streams_cost_little_and_leave_nothing",
    ),
    "no name shadows another": (
        "registry/test_names.py::test_an_upstream_may_not_have_a_name_that_is_reserved_or_splits_badly",
        "registry/test_names.py::test_names_that_can_be_taken_for_another_are_found",
        "listing/test_showing.py::test_names_are_qualified_where_there_are_several_and_untouched_where_there_is_one",
        "listing/test_resolving.py::test_of_two_that_list_the_same_uri_the_first_of_the_endpoint_is_its_owner",
    ),
    "a list that policy empties stays empty": ("attacks/test_rounds.py::test_a_list_that_policy_empties_stays_empty",),
    "a refusal does not tell what exists": (
        "test_pipeline.py::test_an_unknown_tool_gets_the_same_bytes_as_a_hidden_one",
    ),
    "an upstream's words stay with the operator": (
        "attacks/test_arguments.py::test_an_error_with_a_secret_in_its_text_does_not_reach_the_caller",
    ),
    "a reload reaches sessions that live": (
        "transports/test_http.py::test_a_reload_changes_principals_names_and_bounds_at_once",
        "test_app.py::test_a_reload_adds_and_removes_upstreams_and_keeps_sessions",
    ),
    # sessions
    "a session id sent by a client is not taken over": (
        "transports/test_mcp_sessions.py::test_a_session_id_sent_with_the_handshake_is_not_taken_over",
        "attacks/test_trapped_headers.py::test_nothing_a_client_brings_in_a_header_goes_upstream",
    ),
    "no upstream session is shared": (
        "executors/test_sessions.py::test_sessions_are_not_shared_between_principals_or_client_sessions",
    ),
    "an expired upstream session is renewed": (
        "executors/test_sessions.py::test_an_expired_session_is_renewed_once_and_the_call_repeated",
        "executors/test_sessions.py::test_a_second_404_is_the_answer",
        "executors/test_sessions.py::test_an_upstream_that_lost_its_sessions_and_its_handshake_is_unavailable",
    ),
    "a session id carries nothing": (
        "transports/test_sessions.py::test_ids_are_visible_ascii_of_192_random_bits",
        "transports/test_session_owners.py::test_no_session_id_but_one_that_was_given_finds_anything",
    ),
    "a sealed state opens unaltered, once, in time and for its own": (
        "test_rounds.py::test_a_state_changed_by_a_byte_does_not_open",
        "test_rounds.py::test_a_state_is_good_once",
        "test_rounds.py::test_a_state_expires",
        "test_rounds.py::test_a_state_is_good_for_nothing_else",
        "test_rounds.py::test_a_state_of_another_gateway_does_not_open",
        "test_executing.py::test_a_foreign_state_is_refused_as_malformed_and_recorded",
    ),
    "another process needs no memory of this one": (
        "transports/test_session_owners.py::test_another_process_says_under_the_id_of_the_request_that_it_knows_no_session",
        "transports/test_session_owners.py::test_any_process_serves_a_modern_client_and_one_that_only_names_its_session",
    ),
    "someone else's session is a 404 without a hint": (
        "attacks/test_strangers.py::test_a_session_is_of_no_use_to_another_principal_or_at_another_address",
    ),
    "a session is its principal's": (
        "transports/test_sessions.py::test_nobody_else_and_nowhere_else_can_find_or_end_it",
        "transports/test_session_owners.py::test_a_session_is_bound_to_who_its_principal_is_and_not_to_the_token",
    ),
    "one fault poisons nothing": (
        "executors/test_era.py::test_a_probe_that_fails_leaves_no_verdict",
        "executors/test_era.py::test_a_probe_that_breaks_does_not_make_a_server_of_both_eras_a_legacy_one_for_good",
        "executors/test_faults.py::test_an_upstream_that",
        "executors/test_remote.py::test_a_login_is_renewed_when_it_is_refused_in_either_era",
    ),
    "a failure is no empty list": (
        "listing/test_fetching.py::test_where_all_upstreams_are_down_the_list_is_an_error_and_no_empty_one",
    ),
    "a list is renewed only by being fetched": (
        "listing/test_fetching.py::test_a_change_is_fetched_after_the_fetch_that_may_have_begun_before_it",
        "listing/test_fetching.py::test_lists_of_a_server_that_was_replaced_meanwhile_are_not_taken",
    ),
    "clients that only vanish leave nothing": (
        "transports/test_mcp_sessions.py::test_a_session_that_idled_too_long_is_lost",
        "executors/test_sessions.py::test_idle_sessions_are_ended_by_a_sweep",
        "executors/stdio/test_server.py::test_one_that_forked_is_ended_though_its_streams_stay_open",
        "executors/sandbox/test_watchdog.py::test_a_tree_holds_all_descendants_and_survives_their_ends",
        "sandbox/test_battery.py::test_an_orphan_ends_with_its_server",
    ),
    "whatever is kept is bounded": (
        "transports/test_sessions.py::test_any_number_of_handshakes_takes_the_room_of_the_cap",
        "executors/stdio/test_processes.py::test_one_principal_has_only_so_many_processes_whatever_its_clients_declare",
    ),
    "who comes at once opens one session": (
        "executors/test_sessions.py::test_owners_who_come_at_once_share_no_session_and_no_owner_opens_two",
    ),
    "an answer finds the upstream that asked": (
        "executors/test_session.py::test_a_question_on_the_stream_is_answered_in_the_session_while_the_stream_is_read",
        "transports/test_served_streams.py::test_nobody_else_can_answer",
    ),
    # streams and notifications
    "events are read as the specification has them": (
        "wire/test_sse.py::test_a_stream_gives_the_events_of_the_specification",
        "wire/test_sse.py::test_any_chunking_gives_the_same_events",
    ),
    "a stream is kept alive": (
        "transports/test_streams.py::test_one_timer_keeps_all_streams_open_and_runs_only_while_there_are_any",
        "transports/test_waiting_streams.py::test_a_call_that_works_does_not_keep_its_stream_or_anothers_from_being_kept_alive",
    ),
    "a changed list is looked at for each caller and told once": (
        "subscriptions/test_lists.py::test_only_those_are_told_who_are_shown_something_else",
        "transports/test_methods.py::test_only_what_was_promised_is_told",
    ),
    "a storm of changes costs little": (
        "subscriptions/test_lists.py::test_a_storm_costs_one_fetch_and_one_look",
        "subscriptions/test_lists.py::test_a_storm_that_does_not_end_costs_one_fetch_a_second",
        "executors/test_feeds.py::test_a_storm_ends_the_stream",
    ),
    "a cancellation reaches the upstream": (
        "executors/test_session.py::test_a_call_that_is_cancelled_is_withdrawn",
        "executors/test_faults.py::test_a_closed_stream_tells_a_modern_upstream_that_nobody_waits",
        "attacks/test_talking_streams.py::test_a_modern_client_that_vanishes_withdraws_its_call_and_the_run_is_settled",
        "test_cancels.py::test_a_cancellation_that_was_lost_beside_an_answer_is_raised",
        "transports/test_wrapped_talk.py::test_what_waits_for_its_turn_can_be_cancelled_and_never_runs",
    ),
    "progress has a token of each hop": (
        "transports/test_requests.py::test_progress_goes_under_the_clients_own_token",
        "executors/test_exchange.py::test_progress_is_told_without_its_token_and_only_if_it_is_this_calls",
    ),
    "asking somebody uses up no time of the call": (
        "executors/test_session.py::test_the_clock_stands_still_while_the_client_is_asked",
        "executors/test_deadline.py::test_it_stands_still_while_somebody_is_held_for",
        "executors/stdio/test_waiting.py::test_the_clock_stands_still_while_the_client_is_asked",
        "test_approving.py::test_the_wait_uses_up_nothing_of_the_calls_own_time",
    ),
    "a time-out takes no server away": (
        "executors/stdio/test_upstream.py::test_a_time_out_withdraws_the_call_and_the_process_stays",
    ),
    "what may have run is not sent again": (
        "executors/test_pool.py::test_a_request_never_goes_out_twice_when_a_kept_connection_turns_out_dead",
        "executors/test_session.py::test_a_stream_that_ends_before_its_answer_is_come_back_to_and_nothing_is_sent_again",
    ),
    "pages are followed to their end, and only there": (
        "executors/test_pages.py::test_every_page_is_fetched_within_one_limit",
        "executors/test_pages.py::test_what_is_no_whole_list_is_no_list",
        "listing/test_showing.py::test_more_than_a_thousand_prompts_are_more_than_one_page",
        "executors/test_remote_answers.py::test_more_than_a_thousand_tools_come_whole_over_many_pages",
        "executors/test_remote.py::test_a_list_that_is_not_to_be_had_whole_is_an_error",
    ),
    "a definition is shown as it was written": (
        "listing/test_showing.py::test_definitions_are_shown_as_they_were_written",
        "executors/test_remote.py::test_a_list_is_whole_and_as_the_upstream_wrote_it",
        "executors/test_remote_answers.py::test_a_result_comes_as_the_upstream_wrote_it",
    ),
    # bad input besides
    "a slow reader is cut": (
        "transports/test_served_streams.py::test_a_client_that_reads_nothing_is_cut_off_and_its_call_settles",
        "attacks/test_talking_streams.py::test_a_client_that_reads_nothing_is_cut_at_little_cost_and_its_run_is_settled",
    ),
    "a connection that says nothing ends": (
        "transports/test_protocol.py::test_silent_connections_end_whether_or_not_they_ever_asked",
        "transports/test_protocol.py::test_a_byte_now_and_then_does_not_keep_a_connection_open",
    ),
    "ids are what they are, and each finds its answer": (
        "wire/test_jsonrpc.py::test_every_valid_id_is_accepted_as_sent",
        "transports/test_mcp.py::test_equal_ids_in_flight_each_get_their_own_answer",
        "transports/test_wrapped_talk.py::test_a_second_request_of_an_id_that_is_under_way_is_refused",
    ),
    "progress nobody asked for is dropped": (
        "executors/test_exchange.py::test_progress_that_nobody_asked_for_is_passed_over",
    ),
    "an answer nobody asked for is dropped": (
        "executors/stdio/test_conversation.py::test_an_answer_under_another_id_answers_nobody",
        "transports/test_client.py::test_a_question_is_answered_once_by_its_id",
    ),
    "a server that asks in a loop is stopped": (
        "executors/test_exchange.py::test_questions_in_a_loop_are_refused_and_then_end_the_call",
        "executors/stdio/test_upstream_told.py::test_a_process_that_asks_in_a_loop_is_stopped_by_refusals",
        "test_asking.py::test_an_upstream_that_asks_without_end_is_cut",
        "attacks/test_talking_upstreams.py::test_an_upstream_that_asks_for_samples_in_a_loop_is_bounded_and_each_question_recorded",
    ),
}


@cache
def names_in(file: str) -> frozenset[str]:
    """The names of the tests that stand in a file."""
    path = TESTS / file
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("trap", TRAPS)
def test_each_trap_is_held_by_tests_that_are_there(trap: str) -> None:
    assert TRAPS[trap], "nothing holds it"
    missing = [name for name in TRAPS[trap] if name.partition("::")[2] not in names_in(name.partition("::")[0])]
    assert not missing


def test_a_test_that_is_not_there_is_noticed() -> None:
    assert "test_that_never_was" not in names_in("attacks/test_traps.py")
    assert "test_each_trap_is_held_by_tests_that_are_there" in names_in("attacks/test_traps.py")
    assert not names_in("attacks/test_no_such_file.py")
