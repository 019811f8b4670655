"""The semantic types: a table, one file for each. A type reads a string into what it means, or says why it cannot.

The same names, with the shape of their settings, stand in the manifest's schema.
"""

from collections.abc import Callable, Mapping
from typing import Any

from gateway.validators.types import email, path, url
from gateway.validators.types.unfit import Reader, Unfit

TYPES: Mapping[str, Callable[[Mapping[str, Any]], Reader]] = {
    "email": email.reader,
    "path": path.reader,
    "url": url.reader,
}

__all__ = ["TYPES", "Reader", "Unfit"]
