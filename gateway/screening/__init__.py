"""Results are untrusted input: what a result hides and what it gives away is found before policy judges it."""

from gateway.screening.redact import redact
from gateway.screening.screen import Screened, screen
from gateway.screening.strings import Finding

__all__ = ["Finding", "Screened", "redact", "screen"]
