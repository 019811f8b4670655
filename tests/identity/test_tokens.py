import hashlib
import logging

import pytest

from gateway.config import Settings
from gateway.errors import JSONRPC_NUMBER, Malformed
from gateway.identity.tokens import LOCAL, REASONS, Authenticator, Failures
from gateway.model import Code, Principal

TOKEN = "s3cret-token-of-the-agent"  # a test's own
OTHER = "another-token"


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def authenticator(*, insecure_local: bool = False) -> Authenticator:
    principals = {
        "agent": {"token_sha256": digest(TOKEN), "tenant": "acme", "roles": ["reader", "writer"]},
        "other": {"token_sha256": digest(OTHER)},
    }
    return Authenticator(
        Settings.model_validate(
            {
                "version": 1,
                "principals": principals,
                "insecure_local": insecure_local,
                "audit": {"origin": "test.example/log"},
            }
        )
    )


@pytest.mark.parametrize("written", ["Bearer {}", "bearer {}", "BEARER {}", "Bearer   {}", "Bearer {} "])
def test_a_bearer_token_names_its_principal(written: str) -> None:
    found = authenticator().principal(written.format(TOKEN), loopback=False)
    assert found == Principal("agent", "acme", ("reader", "writer"))
    assert authenticator().principal(written.format(OTHER), loopback=True) == Principal("other")


REFUSED = {
    "no header": None,
    "empty": "",
    "scheme only": "Bearer",
    "empty token": "Bearer ",
    "wrong token": "Bearer wrong",
    "token in capitals": f"Bearer {TOKEN.upper()}",
    "token with more": f"Bearer {TOKEN}x",
    "token cut short": f"Bearer {TOKEN[:-1]}",
    "two tokens": f"Bearer {TOKEN} {OTHER}",
    "listed": f"Bearer {TOKEN}, Bearer {OTHER}",
    "the digest itself": f"Bearer {digest(TOKEN)}",
    "basic": "Basic YWdlbnQ6eA==",
    "no scheme": TOKEN,
    "tab": f"Bearer\t{TOKEN}",
    "beyond latin-1": "Bearer \u20ac\U0001f600",
    "bytes beyond ascii": "Bearer \xff\xfe",
}


@pytest.mark.parametrize("loopback", [True, False])
@pytest.mark.parametrize("insecure_local", [True, False])
@pytest.mark.parametrize("name", REFUSED)
def test_anything_but_a_known_token_is_unauthenticated(name: str, insecure_local: bool, loopback: bool) -> None:
    gate = authenticator(insecure_local=insecure_local)
    if name == "no header" and insecure_local and loopback:
        assert gate.principal(None, loopback=True) is LOCAL
        return
    with pytest.raises(Malformed) as fault:
        gate.principal(REFUSED[name], loopback=loopback)
    assert (fault.value.code, fault.value.status) == (Code.UNAUTHENTICATED, 401)
    assert fault.value.jsonrpc == JSONRPC_NUMBER[Code.UNAUTHENTICATED] == 1027
    assert TOKEN not in str(fault.value)
    assert sum(gate.failures.take().values()) == 1


def test_a_wrong_token_on_loopback_is_not_taken_for_a_missing_one() -> None:
    gate = authenticator(insecure_local=True)
    with pytest.raises(Malformed):
        gate.principal("Bearer wrong", loopback=True)
    with pytest.raises(Malformed):
        gate.principal("", loopback=True)


def test_the_local_principal_has_no_role_and_no_person() -> None:
    assert Principal("local", "default", (), None, ()) == LOCAL


def test_no_token_is_kept_or_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    gate = authenticator()
    gate.principal(f"Bearer {TOKEN}", loopback=False)
    with pytest.raises(Malformed):
        gate.principal("Bearer wrong-one", loopback=False)
    kept = repr([getattr(gate, name) for name in Authenticator.__slots__]) + repr(gate.failures.take())
    assert TOKEN not in kept
    assert "wrong-one" not in kept
    assert caplog.records == []


def test_failures_are_counted_by_reason_and_start_again_once_taken() -> None:
    gate = authenticator()
    for authorization in (None, None, "Basic x", "Bearer wrong"):
        with pytest.raises(Malformed):
            gate.principal(authorization, loopback=True)
    assert gate.failures.take() == {"missing": 2, "scheme": 1, "token": 1}
    assert gate.failures.take() == {}


def test_any_number_of_failures_takes_the_room_of_their_reasons() -> None:
    failures = Failures()
    for number in range(10_000):
        failures.count(f"reason {number}")
    for reason in REASONS:
        failures.count(reason)
    assert failures.take() == {"other": 10_000} | dict.fromkeys(REASONS, 1)


def test_a_reload_keeps_the_count_of_the_one_before() -> None:
    failures = Failures()
    failures.count("token")
    settings = Settings.model_validate({"version": 1, "audit": {"origin": "test.example/log"}})
    assert Authenticator(settings, failures).failures.take() == {"token": 1}
