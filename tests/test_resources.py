"""Files that come with Bascule."""

import pytest

from gateway.errors import ConfigError
from gateway.resources import resource


def test_what_is_shipped_is_found_and_what_is_not_is_named() -> None:
    assert (resource("policies/packs/starter") / "call.rego").is_file()
    with pytest.raises(ConfigError, match="lacks policies/packs/none: install bascule again"):
        resource("policies/packs/none")
