"""A client's channel: silent unless somebody listens, and told once that the client hung up."""

from gateway.channel import SILENT, Channel


def test_what_nobody_listens_to_is_dropped() -> None:
    SILENT.tell("notifications/progress", {})
    assert (SILENT.ask, SILENT.hung_up, SILENT.capabilities) == (None, False, {})


def test_whoever_runs_the_call_learns_that_the_client_hung_up() -> None:
    channel, told = Channel(), []
    channel.hang_up()
    channel.on_hang_up = lambda: told.append(1)
    channel.hang_up()
    assert (channel.hung_up, told) == (True, [1])
