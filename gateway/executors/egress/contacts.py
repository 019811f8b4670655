"""What a sandbox tried to reach: each attempt once, with its bytes, bounded however many there are. No I/O."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

MOST = 256


class Verdict(StrEnum):
    """How an attempt went: let through; not permitted; permitted, but nothing answered there."""

    ALLOWED = "allowed"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Contact:
    """Attempts at one destination that went the same way. What stands here the sandboxed program chose: host and port
    are checked for their form, nothing else of its bytes is kept."""

    host: str
    port: int
    verdict: Verdict
    reason: str = ""
    address: str = ""
    """The address dialled."""
    up: int = 0
    down: int = 0
    """Bytes the program sent to it, and had from it."""
    at: int = 0
    """Unix seconds of the first of them."""
    times: int = 1


class Tally:
    """The bytes of one connection, counted while it is open."""

    __slots__ = ("contact", "down", "up")

    def __init__(self, contact: Contact) -> None:
        self.contact = contact
        self.up = self.down = 0

    def taken(self, times: int) -> Contact:
        """The bytes since this was last asked."""
        contact = replace(self.contact, up=self.up, down=self.down, times=times)
        self.up = self.down = 0
        return contact


_Key = tuple[str, int, Verdict, str, str]


class Contacts:
    """The attempts of one sandbox. A program that tries the same thing for ever fills one line of it."""

    def __init__(self, clock: Callable[[], float] = time.time, most: int = MOST) -> None:
        self._clock = clock
        self._most = most
        self._new: dict[_Key, Contact] = {}
        self._open: set[Tally] = set()
        self._dropped = 0
        self.lost = 0
        """Attempts there was no room for in what was last taken."""

    def note(self, host: str, port: int, verdict: Verdict, reason: str, address: str = "") -> None:
        """An attempt that brought no connection."""
        self._add(Contact(host, port, verdict, reason, address, at=int(self._clock())))

    def opened(self, host: str, port: int, address: str) -> Tally:
        """A connection that was let through; it stands in what is taken from now on."""
        contact = Contact(host, port, Verdict.ALLOWED, "", address, at=int(self._clock()))
        self._add(contact)
        tally = Tally(contact)
        self._open.add(tally)
        return tally

    def closed(self, tally: Tally) -> None:
        """It is over; bytes not yet taken stay."""
        self._open.discard(tally)
        self._count(tally)

    def taken(self) -> list[Contact]:
        """All since it was last asked, the oldest first. A connection that stays open is in every list in which it
        carried bytes, with those bytes."""
        for tally in self._open:
            self._count(tally)
        taken = sorted(self._new.values(), key=lambda contact: contact.at)
        self._new.clear()
        self.lost, self._dropped = self._dropped, 0
        return taken

    def _count(self, tally: Tally) -> None:
        if tally.up or tally.down:
            self._add(tally.taken(times=0))

    def _add(self, contact: Contact) -> None:
        key = (contact.host, contact.port, contact.verdict, contact.reason, contact.address)
        known = self._new.get(key)
        if known is not None:
            self._new[key] = replace(
                known, up=known.up + contact.up, down=known.down + contact.down, times=known.times + contact.times
            )
        elif len(self._new) < self._most:
            self._new[key] = contact
        else:
            self._dropped += 1
