"""One client of the handshake revisions, or behind a wrap: what it said of itself, what runs for it, what it is asked.

Not its credentials, and not the connection it is reached by. All that is here ends with its session.
"""

import secrets
from asyncio import Future, Lock, get_running_loop
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from gateway.channel import Channel, Roots, Unanswered
from gateway.errors import Malformed
from gateway.kinds import CANCELLED, METHODS, Kind, Listed
from gateway.model import Code, JsonObject
from gateway.subscriptions import Subscription
from gateway.wire import jsonrpc

Send = Callable[[bytes], bool]
"""Sends one message, whole; False where nobody reads it. Never waits."""
NEEDS: Final = {
    METHODS[Kind.SAMPLING]: "sampling",
    METHODS[Kind.ELICITATION]: "elicitation",
    METHODS[Kind.ROOTS]: "roots",
}
"""The capability that a client must have declared to be asked."""


@dataclass(slots=True, eq=False)
class Client:
    """One client. What is under way is known by the ids that it chose, what it is asked by ids of ours."""

    version: str = ""
    """The handshake revision it agreed on."""
    capabilities: JsonObject = field(default_factory=dict)
    lists: frozenset[Listed] = frozenset()
    """Lists whose changes it was promised to hear of."""
    log_level: str = ""
    roots: Roots = field(default_factory=Roots)
    """Who was given its roots."""
    under_way: dict[jsonrpc.Id, Channel] = field(default_factory=dict)
    listening: dict[jsonrpc.Id, Channel] = field(default_factory=dict)
    """Requests that only end when they are cancelled."""
    questions: dict[str, Future[JsonObject]] = field(default_factory=dict)
    subscription: Subscription | None = None
    opening: Lock = field(default_factory=Lock)
    """Held while its subscription is being opened, so that there is one."""
    ended: bool = False

    def begin(self, ident: jsonrpc.Id, channel: Channel) -> None:
        """A request is under way. Raises Malformed where one of this id is already."""
        if ident in self.under_way or ident in self.listening:
            reason = "a request with this id is under way: each needs an id of its own"
            raise Malformed(Code.PARSE, reason, jsonrpc=jsonrpc.INVALID_REQUEST)
        self.under_way[ident] = channel

    def cancel(self, ident: object) -> bool:
        """The client wants no answer to this request any more; False where none of it is under way."""
        if type(ident) is not str and type(ident) is not int:
            return False
        channel = self.under_way.get(ident) or self.listening.get(ident)
        if channel is None:
            return False
        channel.hang_up()
        return True

    async def ask(self, method: str, params: JsonObject, send: Send) -> JsonObject:
        """Put a request to the client; the result it gives.

        Raises:
            Unanswered: it never declared that it can be asked this, answered with an error, or is gone.
        """
        if NEEDS.get(method) not in self.capabilities:
            raise Unanswered(jsonrpc.METHOD_NOT_FOUND, "the client did not declare that it can be asked this")
        ident = f"bascule-{secrets.token_hex(8)}"
        answer: Future[JsonObject] = get_running_loop().create_future()
        self.questions[ident] = answer
        try:
            if self.ended or not send(jsonrpc.request(ident, method, params)):
                raise Unanswered(jsonrpc.INTERNAL_ERROR, "the client cannot be reached")
            return await answer
        finally:
            if self.questions.pop(ident, None) is not None and answer.cancelled():
                send(jsonrpc.notification(CANCELLED, {"requestId": ident}))

    def answer(self, response: jsonrpc.Response) -> bool:
        """Take an answer; False where nothing of this id was asked, or was answered already."""
        question = self.questions.get(response.id) if type(response.id) is str else None
        if question is None or question.done():
            return False
        if response.result is not None:
            question.set_result(response.result)
        else:
            question.set_exception(Unanswered(response.code, "the client answered with an error"))
        return True

    def keep(self, opened: Subscription) -> None:
        """Have it closed with the session, which may have ended meanwhile."""
        if self.ended:
            opened.close()
        else:
            self.subscription = opened

    def close(self) -> None:
        """It is gone: nobody answers, nobody is told. What it had begun ends by itself."""
        self.ended = True
        for question in self.questions.values():
            if not question.done():
                question.set_exception(Unanswered(jsonrpc.INTERNAL_ERROR, "the client's session has ended"))
        for channel in tuple(self.listening.values()):
            channel.hang_up()
        if self.subscription is not None:
            self.subscription.close()
            self.subscription = None
