"""What tests of the command line hold in their hands."""

from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.model import JsonObject


@dataclass
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str


Run = Callable[..., Ended]


@dataclass
class Admin:
    """Stands in for the actions: answers what it is told to, and keeps what it was asked."""

    answer: JsonObject = field(default_factory=dict)
    asked: list[tuple[str, JsonObject]] = field(default_factory=list)

    def __call__(self, action: str, *_: object, **given: object) -> JsonObject:
        self.asked.append((action, given))
        return self.answer
