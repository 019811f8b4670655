"""The tools that every test server offers, and how such a server starts. Runs in each server's own environment."""

import argparse
from collections.abc import Callable
from typing import Any

import uvicorn
from typing_extensions import TypedDict

_NOTES = {"1": "milk, bread", "2": "ünï©ødé 🌉"}


class Measured(TypedDict):
    """What `measure` gives: a result with an output schema."""

    length: int
    words: list[str]


def echo(text: str, number: int = 0) -> str:
    """Say it again."""
    return f"{text} {number}"


def read_note(id: str) -> str:  # noqa: A002 - the name of the tool's argument
    """Read a note."""
    return _NOTES[id]


def write_note(path: str, text: str) -> str:
    """Write a note."""
    _NOTES[path] = text
    return f"wrote {path}"


def measure(text: str) -> Measured:
    """Measure a text; the result is structured."""
    return {"length": len(text), "words": text.split()}


def fail(reason: str) -> str:
    """Always raise."""
    raise ValueError(reason)


def unicode() -> str:
    """Say something outside ASCII."""
    return "Grüße, 世界 🌉"


TOOLS: tuple[Callable[..., Any], ...] = (echo, read_note, write_note, measure, fail, unicode)


class _Announcing(uvicorn.Server):
    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        print("ready", flush=True)


def serve(app: Any) -> None:
    """Serve on `--port N` until told to stop; one line `ready` says that it listens."""
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, required=True)
    _Announcing(uvicorn.Config(app, port=options.parse_args().port, log_level="warning")).run()
