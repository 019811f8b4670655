"""The error every type shares, and the table of types."""

import pytest

from gateway.validators.types import TYPES, Unfit


def test_an_unfit_value_tells_why_and_what_would_pass() -> None:
    unfit = Unfit("is not one", "one")
    assert (str(unfit), unfit.reason, unfit.would_pass) == ("is not one", "is not one", "one")


@pytest.mark.parametrize("name", sorted(TYPES))
def test_every_type_reads_with_its_default_settings(name: str) -> None:
    good = {"path": "/a", "url": "https://example.com/", "email": "a@b.c"}[name]
    assert TYPES[name]({})(good).type == name
    with pytest.raises(Unfit):
        TYPES[name]({})("\x00")
