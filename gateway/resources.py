"""Files that come with Bascule: inside the installed package, or beside it in a checkout."""

from pathlib import Path

from gateway.errors import ConfigError


def resource(name: str) -> Path:
    """The folder or file of that name.

    Raises:
        ConfigError: this installation lacks it.
    """
    package = Path(__file__).parent
    for place in (package / "shipped" / name, package.parent / name):
        if place.exists():
            return place
    raise ConfigError(f"this installation lacks {name}: install bascule again")
