"""`bascule wrap` as a client runs it: lines of its stdin to the owner of the state folder, the owner's lines to stdout.

Holds no key and no database and judges nothing: wrapped.py, in the owner, does. Standard library only, and of that
little, since a client waits for it each time it starts. The main thread reads the client, another one the owner.
"""
# ruff: noqa: PLC0415 - a wrap pays only for what it imports

import contextlib
import json
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable

from gateway.cli.owning import Unserved, greeted, read_line

OUTCOME_UNKNOWN = 1025
"""JSON-RPC number of the code, as errors.py counts it."""
INTERNAL_ERROR = -32603
PIECE = 1 << 16
TRIES = 3
"""Owners that may end, one after the other, before they have read a message whole."""
_USAGE = 2
_LOST = "the gateway ended before it answered: whether this took effect is not known"
_ANSWERED = re.compile(rb'\{"jsonrpc":"2\.0","id":(-?[0-9]+|"(?:[^"\\]|\\.)*"),')
"""How the owner begins an answer to a request, whose id is all that matters here."""


class Asked:
    """What the command line says."""

    __slots__ = ("command", "config", "env", "folders", "name", "principal")

    def __init__(self) -> None:
        self.name = self.principal = self.config = ""
        self.env: list[str] = []
        self.folders: list[str] = []
        self.command: list[str] = []

    def question(self) -> dict[str, object]:
        """What the owner is told. Values of variables travel here, so that no list of processes shows them."""
        told: dict[str, object] = {"name": self.name, "principal": self.principal}
        if self.command:
            told |= {"command": self.command[0], "args": self.command[1:]}
            told |= {"env": dict(map(_variable, self.env)), "folders": dict(map(_folder, self.folders))}
        elif self.env or self.folders:
            raise Unserved("--env and --folder belong to a command after --; a registered upstream has its own", _USAGE)
        elif not self.name:
            raise Unserved("--name NAME says which upstream, or -- COMMAND what to run", _USAGE)
        return told


def asked(words: list[str]) -> Asked | None:
    """The command line as `wrap` is given it; None where it must be explained, which typer does."""
    found = Asked()
    at = 0
    while at < len(words):
        if words[at] == "--":
            found.command = words[at + 1 :]
            return found if found.command else None
        option, given, value = words[at].partition("=")
        if not given:
            at += 1
            if at == len(words):
                return None
            value = words[at]
        at += 1
        match option:
            case "--name":
                found.name = value
            case "--as":
                found.principal = value
            case "--config" | "-c":
                found.config = value
            case "--env":
                found.env.append(value)
            case "--folder":
                found.folders.append(value)
            case _:
                return None
    return found


def run(what: Asked) -> int:
    """Be the server that the client started; the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from gateway.cli import statefolder

        config = _config(what.config)
        question = what.question() | {"session": os.urandom(16).hex()}
        state = statefolder.state_folder(config)
        wrap = Wrap(lambda: greeted(state, config, question))
        wrap.connect()
    except Unserved as problem:
        print(f"bascule: {problem}", file=sys.stderr)
        return problem.status
    with contextlib.suppress(OSError):  # closed: there is nobody to serve, which shows at once
        for descriptor in (0, 1):
            os.set_blocking(descriptor, True)
        wrap.serve()
    return 0


class Wrap:
    """One client. What is not yet answered is kept by its id, so that an owner that dies leaves no request hanging."""

    def __init__(self, connected: Callable[[], tuple[socket.socket, dict[str, object]]]) -> None:
        self._connected = connected
        self._line: socket.socket | None = None
        self._changed = threading.Condition()
        """Guards what follows, and `_line`; never held while anything is sent or read."""
        self._waiting: dict[int, str] = {}
        """Requests by their order: the id as JSON."""
        self._listening: set[int] = set()
        """Those of them that only end when somebody ends them."""
        self._order = 0
        self._telling = threading.Lock()
        self._initialize = self._initialized = b""
        self._longest, self._patience = 4 << 20, 60.0

    def connect(self) -> socket.socket:
        """The owner, greeted and told of the handshake that a client had with one before it. Raises Unserved."""
        line, told = self._connected()
        try:
            self._longest = int(str(told.get("line_bytes", self._longest)))
            self._patience = float(str(told.get("wait_s", self._patience))) + 5
            if self._initialize:
                line.sendall(self._initialize)
                read_line(line)
                line.sendall(self._initialized)
        except OSError:
            line.close()
            raise Unserved("the gateway ended while it was greeted") from None
        with self._changed:
            self._line = line
        threading.Thread(target=self._hear, args=(line,), daemon=True).start()
        return line

    def serve(self) -> None:
        """Carry lines until the client closes its end, then wait for what it is still owed."""
        held = bytearray()
        passing = False  # in the middle of a line too long to be kept; the owner will say so at its end
        while piece := os.read(0, PIECE):
            *whole, rest = piece.split(b"\n")
            for part in whole:
                held += part
                self._forward(bytes(held) + b"\n", known=not passing)
                held.clear()
                passing = False
            held += rest
            if passing or len(held) > self._longest:
                self._forward(bytes(held), known=False)
                held.clear()
                passing = True
        if held:
            self._forward(bytes(held) + b"\n", known=not passing)
        with self._changed:
            self._changed.wait_for(lambda: self._waiting.keys() <= self._listening, self._patience)

    def _forward(self, line: bytes, *, known: bool) -> None:
        ident, method = _said(line) if known else (None, "")
        if method == "initialize":
            self._initialize = b""
        for _ in range(TRIES):
            try:
                owner = self._line or self.connect()
            except Unserved as problem:
                print(f"bascule: {problem}", file=sys.stderr, flush=True)
                if ident is not None:
                    self._tell(_error(ident, INTERNAL_ERROR, "the gateway cannot be reached: see what it said"))
                return
            order = self._expect(ident, method)
            try:
                owner.sendall(line)
            except OSError:
                self._lost(owner, but=order)
                if ident is not None and not self._withdraw(order):
                    return  # answered already, as lost
                continue  # its end was not taken, so nobody has read it whole
            self._note(method, line)
            return
        if ident is not None:
            self._tell(_error(ident, INTERNAL_ERROR, "the gateway ends again and again: see its log"))

    def _expect(self, ident: str | None, method: str) -> int:
        with self._changed:
            self._order += 1
            if ident is not None:
                self._waiting[self._order] = ident
                if method == "subscriptions/listen":
                    self._listening.add(self._order)
            return self._order

    def _note(self, method: str, line: bytes) -> None:
        """Remember what an owner after this one would have to be told, and what nobody waits for any more."""
        if method == "initialize":
            self._initialize, self._initialized = line, b""
        elif method == "notifications/initialized":
            self._initialized = line
        elif method == "notifications/cancelled":
            self._cancelled(line)

    def _cancelled(self, line: bytes) -> None:
        """An answer may come all the same, but nobody is owed one."""
        params = json.loads(line.decode("utf-8-sig")).get("params")
        ident = params.get("requestId") if isinstance(params, dict) else None
        with self._changed:
            self._waiting = {order: one for order, one in self._waiting.items() if one != json.dumps(ident)}
            self._changed.notify_all()

    def _withdraw(self, order: int) -> bool:
        with self._changed:
            return self._waiting.pop(order, None) is not None

    def _hear(self, line: socket.socket) -> None:
        """Carry the owner's lines to the client, until either is gone."""
        held = bytearray()
        try:
            while piece := line.recv(PIECE):
                held += piece
                if (end := piece.rfind(b"\n")) >= 0:
                    end += len(held) - len(piece) + 1
                    self._tell(bytes(held[:end]))
                    self._answered(bytes(held[:end]))
                    del held[:end]
        except OSError:
            pass
        self._lost(line)

    def _answered(self, answers: bytes) -> None:
        for answer in answers.splitlines():
            if (found := _ANSWERED.match(answer)) is None:
                continue
            ident = json.dumps(json.loads(found[1]))
            with self._changed:
                first = next((order for order, waiting in self._waiting.items() if waiting == ident), 0)
                self._waiting.pop(first, None)
                self._changed.notify_all()

    def _lost(self, line: socket.socket, but: int = 0) -> None:
        """The owner is gone: what it owes is answered with what is known, which is nothing."""
        with self._changed:
            if self._line is not line:
                return
            self._line = None
            lost = [ident for order, ident in self._waiting.items() if order != but]
            self._waiting = {order: ident for order, ident in self._waiting.items() if order == but}
        line.close()
        for ident in lost:
            self._tell(_error(ident, OUTCOME_UNKNOWN, _LOST, {"code": "OUTCOME_UNKNOWN", "reasons": [_LOST]}))
        with self._changed:
            self._changed.notify_all()

    def _tell(self, lines: bytes) -> None:
        """Write to the client, whole; without one to read it, this process has no use."""
        with self._telling:
            try:
                left = memoryview(lines)
                while left:
                    left = left[os.write(1, left) :]
            except OSError:
                os._exit(1)


def _said(line: bytes) -> tuple[str | None, str]:
    """The id as JSON and the method of a request; no id where it is none that would be answered."""
    try:
        message = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None, ""
    if not isinstance(message, dict) or not isinstance(method := message.get("method"), str):
        return None, ""
    ident = message.get("id")
    return (json.dumps(ident) if type(ident) in (int, str) else None), method


def _error(ident: str, code: int, reason: str, data: dict[str, object] | None = None) -> bytes:
    fault: dict[str, object] = {"code": code, "message": reason} | ({"data": data} if data else {})
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}\n' % (ident.encode(), json.dumps(fault).encode())


def _variable(name: str) -> tuple[str, str]:
    if (value := os.environ.get(name)) is None:
        raise Unserved(f"--env {name}: the variable is not set here", _USAGE)
    return name, value


def _folder(stated: str) -> tuple[str, str]:
    path, colon, access = stated.rpartition(":")
    if not colon or access not in {"ro", "rw"}:
        path, access = stated, "ro"
    return os.path.abspath(os.path.expanduser(path)), access


def _config(explicit: str) -> str:
    """The configuration in force, by the rule of config.py."""
    named = explicit or os.environ.get("BASCULE_CONFIG", "")
    if not named and not os.path.isfile(named := "bascule.yaml"):
        from platformdirs import user_config_dir

        named = os.path.join(user_config_dir("bascule"), "bascule.yaml")
    if not os.path.isfile(named):
        raise Unserved(f"no configuration at {named}: `bascule init` makes one, `-c FILE` names one", _USAGE)
    return os.path.abspath(named)
