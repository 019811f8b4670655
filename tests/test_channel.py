"""A client's channel: silent unless somebody listens, and told once that the client hung up."""

from gateway.channel import SILENT, Channel, Roots


def test_what_nobody_listens_to_is_dropped() -> None:
    SILENT.tell("notifications/progress", {})
    assert (SILENT.ask, SILENT.hung_up, SILENT.capabilities) == (None, False, {})


def test_whoever_runs_the_call_learns_that_the_client_hung_up() -> None:
    channel, told = Channel(), []
    channel.hang_up()
    channel.on_hang_up = lambda: told.append(1)
    channel.hang_up()
    assert (channel.hung_up, told) == (True, [1])


def test_only_who_was_given_roots_holds_old_ones_until_it_is_told_or_given_those_of_now() -> None:
    roots = Roots()
    roots.changed()
    assert not roots.outdated("a")
    for upstream in ("a", "b", "c"):
        roots.given(upstream)
        assert not roots.outdated(upstream)
    roots.changed()
    roots.told("a")
    roots.given("b")
    assert [roots.outdated(one) for one in ("a", "b", "c", "d")] == [False, False, True, False]
    roots.missed("a")
    assert roots.outdated("a")
