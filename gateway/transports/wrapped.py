"""The owner's side of `bascule wrap`: lines of JSON-RPC on the control socket -> `Front`, and its answers as lines.

Not the process that a client starts (cli/shim.py) and not what a message means (mcp.py). HTTP has a request for each
answer; here only the id says to which request an answer belongs, so it is looked for in bad messages too.
"""

import asyncio
import re
import secrets
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePath
from typing import Any, Final

import jiter
import orjson

from gateway.errors import JSONRPC_NUMBER, ConfigError, Malformed
from gateway.identity.tokens import LOCAL
from gateway.kinds import CANCELLED, ROOTS_CHANGED
from gateway.model import Code, Endpoint, JsonObject, Principal
from gateway.settings import Settings
from gateway.transports.answers import malformed
from gateway.transports.control import Talk
from gateway.transports.mcp import INITIALIZE, INITIALIZED, Front
from gateway.transports.requests import Wrapped
from gateway.wire import jsonrpc

PIECE: Final = 1 << 16
AT_ONCE: Final = 32
"""Requests of one client that run at a time, and that wait for their turn; with more nothing is read."""
MOST_UNSENT: Final = 1 << 20
"""Bytes that a client may leave unread before it is told nothing but answers."""
_BOM: Final = b"\xef\xbb\xbf"
_ENDS: Final = 512
"""Bytes at either end of a line too long to keep, where its id is looked for."""
_ID = rb'(-?[0-9]{1,16}|"(?:[^"\\]|\\.){0,128}")'
_FIRST = re.compile(rb'\s*\{\s*"jsonrpc"\s*:\s*"2\.0"\s*,\s*"id"\s*:\s*' + _ID + rb"\s*,")
_LAST = re.compile(rb'\}\s*,\s*"jsonrpc"\s*:\s*"2\.0"\s*,\s*"id"\s*:\s*' + _ID + rb"\s*\}\s*$")


@dataclass(frozen=True, slots=True)
class TooLong:
    """A line of which only its ends were kept."""

    first: bytes
    last: bytes


async def lines(reader: asyncio.StreamReader, largest: Callable[[], int]) -> AsyncIterator[bytes | TooLong]:
    """Each line without its end. What follows the last one is half a message and passed over."""
    held, first = bytearray(), b""
    while piece := await reader.read(PIECE):
        *whole, rest = piece.split(b"\n")
        for part in whole:
            held += part
            too_long = first or len(held) > largest()
            yield TooLong(first or bytes(held[:_ENDS]), bytes(held[-_ENDS:])) if too_long else bytes(held)
            held, first = bytearray(), b""
        held += rest
        if first or len(held) > largest():
            first = first or bytes(held[:_ENDS])
            del held[:-_ENDS]


class Conversation:
    """One client that is being served: its requests run side by side, answers go out as they come."""

    def __init__(
        self, front: Front, wrapped: Wrapped, writer: asyncio.StreamWriter, largest: Callable[[], int]
    ) -> None:
        self._front, self._wrapped, self._writer, self._largest = front, wrapped, writer, largest
        wrapped.send = self.send
        self._client = wrapped.client
        self._running: set[asyncio.Task[None]] = set()
        self._waiting: deque[jsonrpc.Message] = deque()
        self._freed = asyncio.Event()

    async def take(self, line: bytes | TooLong) -> None:
        """Begin with a message; waits while too many wait already."""
        if isinstance(line, TooLong):
            reason = f"the message is larger than {self._largest() >> 20} MB"
            fault = Malformed(Code.TOO_LARGE, reason, jsonrpc=jsonrpc.INVALID_REQUEST)
            return await self._tell(malformed(fault, _ident_of_ends(line)).body)
        if not line.strip():
            return None
        try:
            message = jsonrpc.parse(line, depth=self._front.depth)
        except Malformed as fault:
            return await self._tell(malformed(fault, _ident_of(line)).body)
        if isinstance(message, jsonrpc.Response):
            self._client.answer(message)
        elif message.id is None:
            self._notified(message)
        elif message.method == INITIALIZE:
            await self._answer(message)  # what the client sends after it is of the session that it begins
        else:
            self._waiting.append(message)
            self._start()
            while len(self._waiting) >= AT_ONCE:
                self._freed.clear()
                await self._freed.wait()
        return None

    async def settle(self) -> None:
        """Nobody is there any more: wait until all that was begun has ended."""
        self._client.close()
        while self._running:
            await asyncio.wait(self._running)

    def send(self, message: bytes) -> bool:
        """Send what is no answer, unless the client has stopped reading."""
        if self._writer.is_closing() or self._writer.transport.get_write_buffer_size() > MOST_UNSENT:
            return False
        self._writer.write(message + b"\n")
        if self._waiting:  # a question makes room
            asyncio.get_running_loop().call_soon(self._start)
        return True

    def _start(self) -> None:
        """Run what waits for its turn. Whoever only listens, or waits for the client itself, is in nobody's way:
        what ends it may stand behind what it would hold up."""
        idle = len(self._client.listening) + len(self._client.questions)
        while self._waiting and len(self._running) - idle < AT_ONCE:
            self._spawn(self._answer(self._waiting.popleft()))
        self._freed.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        # Never cancelled: a client that hangs up must not cut what the log says was begun.
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        self._start()

    async def _answer(self, message: jsonrpc.Message) -> None:
        if (answer := await self._front.line(self._wrapped, message)) is not None:
            await self._tell(answer.body)

    def _notified(self, message: jsonrpc.Message) -> None:
        """Of all notifications only these change anything."""
        if message.method == INITIALIZED:
            self._spawn(self._front.initialized(self._wrapped, message))
        elif message.method == ROOTS_CHANGED:
            self._client.roots.changed()
        elif message.method == CANCELLED and not self._client.cancel(ident := message.params.get("requestId")):
            self._waiting = deque(one for one in self._waiting if one.id != ident or type(one.id) is not type(ident))

    async def _tell(self, body: bytes) -> None:
        if self._writer.is_closing():
            return
        self._writer.write(body + b"\n")
        try:
            await self._writer.drain()
        except ConnectionError:
            self._writer.close()


async def converse(
    front: Front,
    wrapped: Wrapped,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    *,
    largest: Callable[[], int],
) -> None:
    """Serve one client until it hangs up, or we stop; what it began is ended in either case."""
    talking = Conversation(front, wrapped, writer, largest)
    try:
        begun = False
        async for line in lines(reader, largest):
            await talking.take(line if begun or isinstance(line, TooLong) else line.removeprefix(_BOM))
            begun = True
    finally:
        await talking.settle()


GiveBack = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Wraps:
    """Who may wrap what, by the settings in force: the stream `wrap` of the control socket."""

    front: Front
    settings: Callable[[], Settings]
    endpoint: Callable[[str], Endpoint | None]
    lend: Callable[[str, JsonObject, str], Awaitable[GiveBack]]
    """Makes a command an upstream for as long as somebody has it; refuses a name that means another."""

    async def wrap(
        self,
        *,
        operator: str,
        name: str = "",
        principal: str = "",
        session: str = "",
        command: str = "",
        args: list[str] | None = None,
        env: Mapping[str, str] | None = None,
        folders: Mapping[str, str] | None = None,
    ) -> tuple[JsonObject, Talk]:
        """Begin to serve a client on this connection.

        Raises:
            ConfigError: there is no such upstream, nobody of that name, or the command cannot be one.
        """
        who = self._asking(principal)
        # Principals hold no colon, so nobody can name another's session.
        wrapped = Wrapped(
            partial(self._still, who),
            partial(self.endpoint, name),
            (name, None),
            f"wrap:{who}:{_session_name(session)}",
        )
        give_back: GiveBack = nothing
        if command:
            name = name or name_of(command, args or [])
            given = {"command": command, "args": args or [], "env": env or {}, "folders": folders or {}}
            give_back = await self.lend(name, given, operator)
            wrapped = replace(wrapped, address=(name, None), endpoint=partial(Endpoint, name, (name,), qualified=False))
        elif self.endpoint(name) is None:
            known = ", ".join(filter(self.endpoint, self.settings().upstreams)) or "none yet: bascule add"
            raise ConfigError(f"no upstream '{name}'; there are: {known}")
        limits = self.settings().limits
        told = {"name": name, "principal": who, "line_bytes": limits.body_mb << 20, "wait_s": limits.call_s}
        return told, self._talk(wrapped, give_back)

    def _talk(self, wrapped: Wrapped, give_back: GiveBack) -> Talk:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await converse(self.front, wrapped, reader, writer, largest=self._largest)
            finally:
                await give_back()

        return talk

    def _largest(self) -> int:
        return self.settings().limits.body_mb << 20

    def _asking(self, name: str) -> str:
        """The principal a client is: whoever reaches the socket may be any of them."""
        settings = self.settings()
        known = [LOCAL.id, *settings.principals] if settings.insecure_local else list(settings.principals)
        if not name and (settings.insecure_local or len(known) == 1):
            return known[0]
        if name in known:
            return name
        listed = ", ".join(known) or "none: `principals` of the configuration names them"
        raise ConfigError(f"{f'no principal {name!r}' if name else '--as PRINCIPAL is needed'}; there are: {listed}")

    def _still(self, name: str) -> Principal:
        """The principal as the settings in force have it. Raises Malformed where they no longer know it."""
        settings = self.settings()
        if name == LOCAL.id and settings.insecure_local:
            return LOCAL
        if (known := settings.principals.get(name)) is not None:
            return Principal(name, known.tenant, tuple(known.roles))
        code = Code.UNAUTHENTICATED
        raise Malformed(code, "the principal of this wrap is no longer configured", jsonrpc=JSONRPC_NUMBER[code])


async def nothing() -> None:
    """What was not lent is not given back."""


def name_of(command: str, args: list[str]) -> str:
    """What an unregistered command is called: its package, module or file, as far as a name can hold it."""
    words = [word for word in args if not word.startswith("-")]
    launcher = PurePath(command).name in {"npx", "uvx", "uv", "python", "python3", "node"}
    said = words[0] if launcher and words else command
    said = re.sub(r"(?<=.)@[^/]*$|[=<>~].*$", "", said)
    said = PurePath(said).name.lower()
    said = re.sub(r"\.(py|js|mjs|cjs)$", "", said)
    return re.sub(r"[^a-z0-9]+", "-", said)[:40].strip("-") or "wrapped"


def _session_name(session: str) -> str:
    """What the wrap calls itself, so that another owner after this one knows it again."""
    return session if re.fullmatch(r"[0-9a-f]{32}", session) else secrets.token_hex(16)


def _ident_of(line: bytes) -> jsonrpc.Id:
    """The id of a request that cannot be judged; null where it is none, as JSON-RPC has it."""
    try:
        value: Any = jiter.from_json(line)
    except ValueError:
        return None
    if type(value) is not dict or type(value.get("method")) is not str:
        return None
    ident = value.get("id")
    return ident if type(ident) in (str, int) else None


def _ident_of_ends(line: TooLong) -> jsonrpc.Id:
    """The id as clients write it, straight after the version or straight at the end; null where it stands elsewhere."""
    found = _FIRST.match(line.first) or _LAST.search(line.last)
    try:
        ident: str | int | None = orjson.loads(found[1]) if found else None
    except orjson.JSONDecodeError:
        return None
    return ident
