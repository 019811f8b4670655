"""`upstream learn`, as a person types it."""

import pytest

from gateway.cli import learning
from gateway.errors import ConfigError


def test_a_call_is_a_tool_with_its_arguments() -> None:
    assert learning._wanted("list") == ("list", {})
    assert learning._wanted('fetch={"url": "https://x.example/?a=b"}') == ("fetch", {"url": "https://x.example/?a=b"})


@pytest.mark.parametrize("text", ["", "={}", "fetch={", "fetch=[1]", "fetch=1"])
def test_what_is_no_call_is_refused_with_what_would_be(text: str) -> None:
    with pytest.raises(ConfigError, match="--call should be TOOL or TOOL="):
        learning._wanted(text)
