"""One e-mail address, by syntax alone: no display name, no comment, no list, no header beside it, no DNS.

Normal form: the domain in lower case, an international one as `xn--…`; the local part as written. A domain written in
other characters than it is read in is refused, since mail programs map it differently.
"""

import unicodedata
from collections.abc import Mapping
from typing import Any

from email_validator import EmailNotValidError, validate_email

from gateway.model import TypedValue
from gateway.validators.types.unfit import Reader, Unfit

LONGEST = 320
_WANTED = "one address such as name@example.com, an international domain as xn--…"


def reader(_settings: Mapping[str, Any]) -> Reader:
    """Reads e-mail addresses; the type has no settings."""
    return _read


def _read(value: str) -> TypedValue:
    if len(value) > LONGEST:
        raise Unfit("is longer than any e-mail address", _WANTED)
    try:
        address = validate_email(value, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError:
        raise Unfit("is not one plain e-mail address", _WANTED) from None
    domain = address.ascii_domain.lower()
    local, _, written = value.rpartition("@")
    if written.lower() != domain or unicodedata.normalize("NFKC", local) != local:
        raise Unfit("can be read as another address", _WANTED)
    return TypedValue("email", f"{local}@{domain}", {"domain": domain})
