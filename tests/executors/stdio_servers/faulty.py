"""A server on nothing but the standard library: `python faulty.py START`. START names how it begins, and a tool's name
how it answers that call: well, or in one of the ways a server can misbehave.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

MODERN, LEGACY = "2026-07-28", "2025-11-25"
METHOD_NOT_FOUND = -32601
Message = dict[str, Any]


def say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def send(message: Any) -> None:
    say(json.dumps(message) + "\n")


def answer(ident: Any, result: Any) -> None:
    send({"jsonrpc": "2.0", "id": ident, "result": result})


def refuse(ident: Any, code: int, **more: Any) -> None:
    send({"jsonrpc": "2.0", "id": ident, "error": {"code": code, "message": "no", **more}})


def text(said: str) -> Message:
    return {"resultType": "complete", "content": [{"type": "text", "text": said}]}


def done(ident: Any, said: str = "done") -> None:
    answer(ident, text(said))


def notify(method: str) -> None:
    send({"jsonrpc": "2.0", "method": method, "params": {}})


def daemonised() -> int:
    """A process of its own session that keeps our streams open and ignores what asks it to end."""
    if pid := os.fork():
        return pid
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
    os._exit(0)


def forever(line: bytes, stream: int) -> None:
    while True:
        os.write(stream, line)


held: list[Any] = []
state: dict[str, str] = {}


def flood_stderr(ident: Any) -> None:
    for _ in range(200):
        os.write(2, b"e" * 99 + b"\n" * 1 + b"x" * 65_000 + b"\n")
    done(ident)


def cancelled_before(ident: Any) -> None:
    done(ident, json.dumps(state.get("cancelled", "")))


def ask_back(ident: Any) -> None:
    send({"jsonrpc": "2.0", "id": "theirs", "method": "elicitation/create", "params": {}})
    send({"jsonrpc": "2.0", "id": 77, "method": "ping"})
    said = [json.loads(sys.stdin.readline()) for _ in range(2)]
    done(ident, json.dumps(said))


def hold(ident: Any) -> None:
    held.append(ident)


def release(ident: Any) -> None:
    """Answers everybody who was held, in the opposite order."""
    for each in [ident, *reversed(held)]:
        done(each, str(each))
    held.clear()


def remember(ident: Any, said: str) -> None:
    before, state["said"] = state.get("said", ""), said
    done(ident, before)


def die(code: int) -> None:
    os.write(2, b"Traceback: it broke\n")
    os._exit(code)


def half(ident: Any) -> None:
    say(json.dumps({"jsonrpc": "2.0", "id": ident, "result": text("done")})[:-5])
    os._exit(0)


def whole(ident: Any) -> None:
    say(json.dumps({"jsonrpc": "2.0", "id": ident, "result": text("done")}))
    os._exit(0)


def pieces(ident: Any) -> None:
    for character in json.dumps({"jsonrpc": "2.0", "id": ident, "result": text("ünï" * 9)}) + "\n":
        say(character)


def batch(ident: Any) -> None:
    send([{"jsonrpc": "2.0", "method": "notifications/message"}, {"jsonrpc": "2.0", "id": ident, "result": text("b")}])


def surrounded(ident: Any) -> None:
    say("Server started on stdio\n\n{broken\n[]\n7\nnull\n")
    notify("notifications/progress")
    notify("notifications/tools/list_changed")
    done(ident)
    say("bye\n")


def twice(ident: Any) -> None:
    done(ident, "first")
    done(ident, "second")


def wrong_ids(ident: Any) -> None:
    for wrong in (ident + 1, str(ident), float(ident), True, None, [ident], -1, 10**30):
        send({"jsonrpc": "2.0", "id": wrong, "result": text("not yours")})
    done(ident, "yours")


def big(ident: Any, size: int, *, id_last: bool = False) -> None:
    result = json.dumps(text("x" * size))
    last, first = (
        f'{{"result":{result},"jsonrpc":"2.0","id":{ident}}}',
        f'{{"jsonrpc":"2.0","id":{ident},"result":{result}}}',
    )
    say((last if id_last else first) + "\n")


def fork(ident: Any) -> None:
    done(ident, str(daemonised()))


def orphan(ident: Any) -> None:
    os.write(2, f"{daemonised()}\n".encode())
    os._exit(4)


def close_stdout(ident: Any) -> None:
    os.close(1)
    time.sleep(600)


def deaf(ident: Any) -> None:
    time.sleep(600)


TOOLS: dict[str, Callable[[Any], None]] = {
    "echo": done,
    "pid": lambda ident: done(ident, str(os.getpid())),
    "die": lambda ident: die(3),
    "killed": lambda ident: os.kill(os.getpid(), signal.SIGKILL),
    "hang": lambda ident: None,
    "deaf": deaf,
    "hold": hold,
    "release": release,
    "flood_stdout": lambda ident: forever(b"y" * 99 + b"\n", 1),
    "flood_line": lambda ident: forever(b"y" * 9_999, 1),
    "flood_notifications": lambda ident: forever(b'{"jsonrpc":"2.0","method":"notifications/x"}\n', 1),
    "flood_pings": lambda ident: forever(b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n', 1),
    "flood_stderr": flood_stderr,
    "cancelled_before": cancelled_before,
    "ask_back": ask_back,
    "half": half,
    "whole": whole,
    "pieces": pieces,
    "batch": batch,
    "surrounded": surrounded,
    "twice": twice,
    "wrong_ids": wrong_ids,
    "big": lambda ident: big(ident, 300_000),
    "big_id_last": lambda ident: big(ident, 300_000, id_last=True),
    "fork": fork,
    "orphan": orphan,
    "close_stdout": close_stdout,
    "nan": lambda ident: say(f'{{"jsonrpc": "2.0", "id": {ident}, "result": {{"x": NaN}}}}\n'),
    "repeated_key": lambda ident: say(f'{{"jsonrpc":"2.0","id":{ident},"result":{{"a":1,"a":2}}}}\n'),
    "neither": lambda ident: send({"jsonrpc": "2.0", "id": ident}),
    "both": lambda ident: send({"jsonrpc": "2.0", "id": ident, "result": {}, "error": {"code": 1}}),
    "wrong_version": lambda ident: send({"jsonrpc": "1.0", "id": ident, "result": {}}),
    "no_object": lambda ident: answer(ident, 7),
    "no_content": lambda ident: answer(ident, {"content": 7}),
    "asks_more": lambda ident: answer(ident, {"resultType": "input_required"}),
    "error": lambda ident: refuse(ident, -32000),
    "error_without_id": lambda ident: refuse(None, -32700),
    "unsupported": lambda ident: refuse(ident, -32022, data={"supported": [LEGACY], "requested": MODERN}),
    "tool_error": lambda ident: answer(ident, {**text("bad"), "isError": True}),
    "secret": lambda ident: (os.write(2, b"key is hunter2hunter2 there\n"), os._exit(5))[1],
}
LIST = [{"name": name, "inputSchema": {"type": "object"}} for name in ("echo", "pid")]


def call(message: Message) -> None:
    name, ident, arguments = message["params"]["name"], message["id"], message["params"]["arguments"]
    if name == "remember":
        remember(ident, arguments["text"])
    elif name == "seen":
        done(ident, json.dumps(message))
    elif name == "environment":
        done(ident, json.dumps(dict(os.environ)))
    else:
        TOOLS[name](ident)


def serve(message: Message, start: str) -> None:
    """Everything but the beginning, which is each start's own."""
    method, ident = message["method"], message.get("id")
    if method == "tools/call":
        call(message)
    elif method == "tools/list":
        pages = start == "endless"
        cursor = message["params"].get("cursor", "")
        answer(ident, {"tools": LIST, **({"nextCursor": "again"} if pages else {}), "seen": cursor})
    elif method == "notifications/cancelled":
        state["cancelled"] = message["params"]["requestId"]
    elif ident is not None:
        refuse(ident, METHOD_NOT_FOUND)


def discover(ident: Any) -> None:
    answer(ident, {"resultType": "complete", "supportedVersions": [MODERN], "capabilities": {"tools": {}}})


def initialize(ident: Any, version: str = LEGACY) -> None:
    answer(ident, {"protocolVersion": version, "capabilities": {}, "serverInfo": {"name": "old", "version": "1"}})


def _modern(message: Message) -> bool:
    if message["method"] == "server/discover":
        discover(message["id"])
    elif message["method"] == "initialize":
        refuse(message["id"], -32022, data={"supported": [MODERN], "requested": LEGACY})
    else:
        return False
    return True


def _legacy(message: Message, version: str = LEGACY) -> bool:
    if message["method"] == "initialize":
        initialize(message["id"], version)
        return True
    return False


def first(act: Callable[[Message], Any], then: Callable[[Message], bool]) -> Callable[[Message], bool]:
    """`act` where the very first message asks what it is, `then` otherwise."""

    def began(message: Message) -> bool:
        if message["method"] == "server/discover":
            act(message)
            return True
        return then(message)

    return began


def _upset(message: Message) -> bool:
    """Refuses the question, and then everything."""
    if message["method"] == "server/discover":
        state["upset"] = "1"
        refuse(message["id"], METHOD_NOT_FOUND)
        return True
    if "upset" in state:
        refuse(message["id"], -32600)
        return True
    return _legacy(message)


def _refuses(message: Message) -> bool:
    refuse(message["id"], -32600)
    return True


def _dies(message: Message) -> bool:
    die(9)
    return True


STARTS: dict[str, Callable[[Message], bool]] = {
    "modern": _modern,
    "endless": _modern,
    "legacy": _legacy,
    "legacy_2024": lambda message: _legacy(message, "2024-11-05"),
    "legacy_unknown": lambda message: _legacy(message, "1999-01-01"),
    "legacy_invalid": first(lambda message: refuse(message["id"], -32602), _legacy),
    "legacy_no_id": first(lambda message: refuse(None, -32000), _legacy),
    "legacy_odd": first(lambda message: answer(message["id"], 7), _legacy),
    "legacy_named": first(lambda message: answer(message["id"], {"supportedVersions": [LEGACY]}), _legacy),
    "legacy_silent": first(lambda message: None, _legacy),
    "legacy_exits": first(lambda message: os._exit(1), _legacy),
    "legacy_upset": _upset,
    "other": first(lambda message: refuse(message["id"], -32022, data={"supported": ["2031-01-01"]}), _modern),
    "refuses": _refuses,
    "dies_in_handshake": _dies,
    "silent": lambda message: True,
}


def main(start: str) -> None:
    if start == "dies":
        die(9)
    if start == "floods":
        forever(b"starting\n", 1)
    if start == "modern_slow":
        time.sleep(0.5)
    if start == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("ready", start, file=sys.stderr, flush=True)
    begin = STARTS.get(start, _modern)
    for line in sys.stdin:
        message = json.loads(line)
        if not begin(message):
            serve(message, start)
    if start == "stubborn":
        time.sleep(600)


if __name__ == "__main__":
    main(sys.argv[1])
