"""What a call leaves behind while its client is asked something: the sealed `requestState`, and what waits upstream.

A `requestState` comes back from the client and is an attacker's until it opened: sealed with AES-GCM, bound to who
asked for what with which arguments, short-lived, good for one use (2026-07-28, multi round-trip requests).
"""

import asyncio
import base64
import binascii
import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.channel import Channel, Unanswered
from gateway.errors import Failed, Refused
from gateway.model import Call, Code, JsonObject, Outcome, Round, RunId

LIFE_SECONDS: Final = 600.0
"""How long a person may take to answer."""
BREATH_SECONDS: Final = 0.02
"""What is asked in one breath is one round."""
MOST_PARKED: Final = 1_000
MOST_PARKED_EACH: Final = 32
"""Of one principal."""
MOST_ASKED_BYTES: Final = 65_536
"""Of questions that a state tells; of larger ones it tells nothing, so that it stays small."""
_USED: Final = 100_000
_NONCE: Final = 12
_INFO: Final = b"bascule request state v1"


AGAIN: Final = "the same call begun anew, without requestState"


class NotOurs(Refused):
    """What a client brings back is not its own: a request state that does not open for this call, a task."""


class Seals:
    """Makes and opens request states. `secret` is the gateway's; what was sealed before a restart is refused, since
    which states were used is known to one start alone."""

    def __init__(self, secret: bytes, *, clock: Callable[[], float] = time.time, life_s: float = LIFE_SECONDS) -> None:
        self._cipher = AESGCM(HKDF(hashes.SHA256(), 32, None, _INFO).derive(secret))
        self._clock, self._life_s = clock, life_s
        self._start = secrets.token_hex(16)
        self._used: OrderedDict[bytes, float] = OrderedDict()
        self._forgotten = 0.0
        """No state that ends by then is taken: it may be one of those no longer remembered."""

    def seal(self, call: Call, run: RunId, state: str | None, parked: str, questions: JsonObject | None = None) -> str:
        """The state that lets this client, and nobody else, go on with this call; it tells what was asked."""
        nonce = secrets.token_bytes(_NONCE)
        until = self._clock() + self._life_s
        asked = questions if len(orjson.dumps(questions)) <= MOST_ASKED_BYTES else None
        body = {"run": run, "state": state, "parked": parked, "until": until, "start": self._start, "asked": asked}
        sealed = self._cipher.encrypt(nonce, orjson.dumps(body), _binding(call))
        return base64.urlsafe_b64encode(nonce + sealed).decode("ascii")

    def opened(self, call: Call) -> Call:
        """The call with what its state says, which is good for this once.

        Raises:
            NotOurs: SCHEMA, in the same words whatever is wrong with it.
        """
        assert call.round is not None
        try:
            raw = base64.b64decode((call.round.state or "").encode("ascii"), altchars=b"-_", validate=True)
            body = orjson.loads(self._cipher.decrypt(raw[:_NONCE], raw[_NONCE:], _binding(call)))
        except (ValueError, binascii.Error, InvalidTag):
            raise _not_ours("it does not open") from None
        if body.get("start") != self._start:
            raise _not_ours("it was made before the gateway started anew")
        now, nonce = self._clock(), raw[:_NONCE]
        while self._used and (next(iter(self._used.values())) < now or len(self._used) >= _USED):
            self._forgotten = max(self._forgotten, self._used.popitem(last=False)[1])
        if body["until"] < now or body["until"] <= self._forgotten or nonce in self._used:
            raise _not_ours("it has expired or was used before")
        self._used[nonce] = body["until"]
        round_ = Round(call.round.answers, body["state"], RunId(body["run"]), body["parked"], body["asked"])
        return replace(call, round=round_)


def _binding(call: Call) -> bytes:
    """What a state is bound to: who, where, which method of what, and the arguments."""
    arguments = hashlib.sha256(orjson.dumps(call.arguments, option=orjson.OPT_SORT_KEYS)).hexdigest()
    who = call.principal
    bound = [who.tenant, who.id, who.person, call.endpoint.name, call.endpoint.qualified, call.kind, call.name]
    return orjson.dumps([*bound, arguments])


def _not_ours(detail: str) -> NotOurs:
    reason = "requestState is not one that this call can go on with"
    return NotOurs(Code.SCHEMA, reason, would_pass=AGAIN, detail=detail)


@dataclass(slots=True)
class Question:
    """One thing an upstream wants to know before it goes on."""

    method: str
    params: JsonObject
    answer: asyncio.Future[JsonObject]


@dataclass(slots=True)
class Parked:
    """An execution that goes on in the background while its client is asked. `work` ends it."""

    owner: str
    """The principal."""
    channel: Channel
    """Of the round that waits now."""
    work: "asyncio.Future[Outcome]" = field(default_factory=asyncio.Future)
    abandoned: Callable[[], object] = lambda: None
    """What is to be done where nobody comes back with an answer."""
    questions: dict[str, Question] = field(default_factory=dict)
    coming: int = 0
    """Questions that are being judged."""
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, method: str, permitted: Awaitable[JsonObject]) -> JsonObject:
        """Wait for the client's answer, which a later round brings, once the question's params are permitted."""
        self.coming += 1
        try:
            params = await permitted
        finally:
            self.coming -= 1
            self.asked.set()
        question = Question(method, params, asyncio.get_running_loop().create_future())
        self.questions[secrets.token_hex(8)] = question
        return await question.answer

    async def next(self) -> Outcome | None:
        """The outcome, or None where there are questions first.

        Raises:
            Failed: as the execution did.
        """
        while not self.work.done():
            if self._quiet():
                await asyncio.sleep(BREATH_SECONDS)
                if self._quiet():
                    return None
            await self._either()
        return self.work.result()

    def _quiet(self) -> bool:
        return bool(self.questions) and not self.coming and not self.work.done()

    async def _either(self) -> None:
        """Wait until a question was judged, or the execution has ended."""
        self.asked.clear()
        waiting = asyncio.ensure_future(self.asked.wait())
        either: set[asyncio.Future[Any]] = {waiting, self.work}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()

    def answer(self, answers: JsonObject) -> None:
        """Give the client's answers; what it did not answer is given up."""
        questions, self.questions = self.questions, {}
        for key, question in questions.items():
            if question.answer.done():
                continue
            if type(given := answers.get(key)) is dict:
                question.answer.set_result(given)
            else:
                question.answer.set_exception(Unanswered(-1, "the client gave no answer"))

    def give_up(self) -> None:
        """Nobody will answer: the execution is cancelled, and withdraws what it asked upstream."""
        self.work.cancel()
        self.abandoned()


class Parking:
    """Executions that wait for an answer, by a name that only a sealed state tells; none waits for ever."""

    def __init__(self, idle_s: float = LIFE_SECONDS) -> None:
        self._life_s = idle_s
        self._parked: dict[str, tuple[Parked, asyncio.TimerHandle]] = {}

    def __len__(self) -> int:
        return len(self._parked)

    def put(self, parked: Parked) -> str:
        """Keep it for a later round.

        Raises:
            Failed: too many wait; it was given up.
        """
        mine = sum(one.owner == parked.owner for one, _ in self._parked.values())
        if len(self._parked) >= MOST_PARKED or mine >= MOST_PARKED_EACH:
            parked.give_up()
            raise Failed(Code.UPSTREAM_INVALID, "too many calls wait for an answer", unknown=True)
        name = secrets.token_hex(16)
        late = asyncio.get_running_loop().call_later(self._life_s, self.give_up, name)
        self._parked[name] = (parked, late)
        return name

    def take(self, name: str) -> Parked | None:
        """Take one out; None where it is gone."""
        parked, late = self._parked.pop(name, (None, None))
        if late is not None:
            late.cancel()
        return parked

    @contextmanager
    def unless_told(self, name: str) -> Iterator[None]:
        """Give it up where what is done here fails: then its client is told no state to come back with."""
        try:
            yield
        except BaseException:
            self.give_up(name)
            raise

    def close(self) -> None:
        """Give all of them up."""
        for name in tuple(self._parked):
            self.give_up(name)

    def give_up(self, name: str) -> None:
        """Give one up, where it still waits: nobody can go on with it any more."""
        if (parked := self.take(name)) is not None:
            parked.give_up()
