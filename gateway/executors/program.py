"""A stdio server's real entry point, and what of the host it needs to run. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Program:
    """What is started. Inside a sandbox every path is the same as outside."""

    argv: tuple[str, ...]
    """An absolute path, then its arguments."""
    runtime: tuple[Path, ...] = ()
    """Files and folders beyond the system's own that it needs, read-only: an interpreter, an installed package."""
    env: Mapping[str, str] = field(default_factory=dict)
    """What the runtime needs; nothing secret."""
    version: str = ""
    """Of the package, where it is one: `npm:@scope/name@1.2.3`."""
    digest: str = ""
    """`sha256:…` of all that was installed (its lock), where it is a package."""
