"""Who is told what the processes of one upstream say by themselves, whichever of them say it and whenever they start.

Not what a process is asked for that (topics.py).
"""

from collections.abc import Iterable
from typing import Final

from gateway.errors import Failed
from gateway.executors.stdio.server import Server
from gateway.executors.stdio.topics import LISTS, Feed

GATEWAY: Final = ("", "")
"""Who the gateway itself is: its own processes are nobody's."""


class Feeds:
    """Of one upstream. A process tells those it belongs to, and the gateway of its lists whoever it belongs to."""

    def __init__(self) -> None:
        self._feeds: set[Feed] = set()

    def join(self, feed: Feed, servers: Iterable[Server]) -> None:
        """Tell a feed from now on."""
        self._feeds.add(feed)
        for server in servers:
            _join(feed, server)

    def leave(self, feed: Feed, servers: Iterable[Server]) -> None:
        """Tell it nothing any more."""
        self._feeds.discard(feed)
        for server in servers:
            server.topics.leave(feed)

    def came(self, server: Server) -> None:
        """A process started, or belongs to somebody else now."""
        for feed in self._feeds:
            _join(feed, server)

    def end(self, why: Failed) -> None:
        """No process will say anything any more."""
        for feed in self._feeds:
            feed.fail(why)


def _join(feed: Feed, server: Server) -> None:
    if feed.who in {GATEWAY, server.who}:
        server.topics.join(LISTS, feed)
    if feed.who == server.who:
        for uri in feed.uris:
            server.topics.join(uri, feed)
