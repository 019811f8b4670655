"""E-mail addresses: one plain address, and nothing that could be another or more than one."""

import pytest

from gateway.validators.types import email
from gateway.validators.types.unfit import Unfit

read = email.reader({})


@pytest.mark.parametrize(
    ("value", "normal", "domain"),
    [
        ("a@b.com", "a@b.com", "b.com"),
        ("Ann.Lee+x@EXAMPLE.com", "Ann.Lee+x@example.com", "example.com"),
        ("a@xn--fa-hia.de", "a@xn--fa-hia.de", "xn--fa-hia.de"),
        ("\u00fc@b.com", "\u00fc@b.com", "b.com"),
        ("a@b", "a@b", "b"),
    ],
)
def test_a_plain_address_has_its_normal_form_and_domain(value: str, normal: str, domain: str) -> None:
    typed = read(value)
    assert (typed.type, typed.value, typed.parts) == ("email", normal, {"domain": domain})


@pytest.mark.parametrize(
    "value",
    [
        "", "a", "@b.com", "a@", "Bob <a@b.com>", "<a@b.com>", "a@b.com\nBcc: x@y.z", "a@b.com\r\n",
        "a@b.com, c@d.e", "a@b.com;c@d.e",
        '"a b"@b.com', "a(c)@b.com", "a@[127.0.0.1]", "a@b..com", ".a@b.com", "a@b.com ", "a@@b.com", "a@b@c.com",
        "mailto:a@b.com?cc=x",
        "\ud800@b.com", "a\x00@b.com", "a@b.com%0aBcc:x", "a\u200b@b.com", "x" * 321,
    ],
)  # fmt: skip
def test_anything_else_is_refused(value: str) -> None:
    with pytest.raises(Unfit) as unfit:
        read(value)
    assert unfit.value.would_pass


@pytest.mark.parametrize("value", ["a@fa\u00df.de", "a@\uff42.com", "\uff41@b.com", "a@b\u3002com"])
def test_an_address_that_can_be_read_as_another_is_refused(value: str) -> None:
    with pytest.raises(Unfit, match="another address"):
        read(value)
