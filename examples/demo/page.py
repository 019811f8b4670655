"""What the demonstration prints: a heading per scene, one line per thing seen, colours only on a terminal."""

import sys
from dataclasses import dataclass, field

MARKS = {"yes": ("✓", "32"), "no": ("✗", "33"), "bad": ("✗", "31"), "": (" ", "")}


class NotShown(Exception):
    """A scene did not show what it says."""


def expect(condition: object, otherwise: str) -> None:
    """The scene is as it says, or the verdict is a failure."""
    if not condition:
        raise NotShown(otherwise)


@dataclass(slots=True)
class Page:
    """Prints as things happen, and counts the scenes that failed."""

    colours: bool = field(default_factory=sys.stdout.isatty)
    scenes: int = 0
    failed: int = 0

    def line(self, text: str = "") -> None:
        print(text, flush=True)

    def scene(self, title: str) -> None:
        self.scenes += 1
        self.line(f"\n{self._dyed(f'{self.scenes}. {title}', '1')}")

    def asks(self, text: str) -> None:
        """What the client asks for."""
        self.line(f"   {text}")

    def passes(self, text: str) -> None:
        self._marked("yes", text)

    def stops(self, text: str) -> None:
        """The gateway refused or withheld, as it should."""
        self._marked("no", text)

    def says(self, text: str) -> None:
        self._marked("", text)

    def fails(self, text: str) -> None:
        self.failed += 1
        self._marked("bad", f"not as it should be: {text}")

    def _marked(self, kind: str, text: str) -> None:
        mark, colour = MARKS[kind]
        self.line(f"     {self._dyed(mark, colour)} {text}")

    def _dyed(self, text: str, colour: str) -> str:
        return f"\033[{colour}m{text}\033[0m" if self.colours and colour else text
