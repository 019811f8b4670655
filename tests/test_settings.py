"""The rules of single keys, with the models alone: no file, no environment."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.model import Mode
from gateway.settings import Listen, Settings, UpstreamSettings, default_origin

TOKEN = "a" * 64
LEAST: dict[str, Any] = {"version": 1, "audit": {"origin": "example.org/bascule"}}


def settings(**more: Any) -> Settings:
    return Settings.model_validate({**LEAST, **more})


def problem(**more: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        settings(**more)
    return caught.value.errors(include_input=False)[0]["msg"]


def test_the_least_configuration_listens_on_loopback_and_lets_nobody_in() -> None:
    least = settings()
    assert (least.listen.host, least.listen.port) == ("127.0.0.1", 8484)
    assert not least.principals
    assert not least.insecure_local
    assert least.audit.keep_days == 30
    assert (least.policy.engine, least.policy.bundle) == ("regorus", Path("policies"))


@pytest.mark.parametrize("name", ["A", "-a", "a b", "bascule", "view", "a__b", "", "ü", "a" * 41, "a.b"])
def test_an_upstream_name_that_breaks_the_rules_is_refused(name: str) -> None:
    assert problem(upstreams={name: {"url": "http://x/mcp"}})


@pytest.mark.parametrize("name", ["local", "bascule", "a b", "os:root", ""])
def test_a_principal_name_that_is_reserved_or_malformed_is_refused(name: str) -> None:
    assert problem(principals={name: {"token_sha256": TOKEN}})


@pytest.mark.parametrize("token", ["", "a" * 63, "A" * 64, "g" * 64, "a" * 65])
def test_a_token_digest_is_64_lower_case_hex_digits(token: str) -> None:
    assert problem(principals={"a": {"token_sha256": token}})


def test_two_principals_with_one_token_are_refused() -> None:
    assert "same token" in problem(principals={"a": {"token_sha256": TOKEN}, "b": {"token_sha256": TOKEN}})


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://x/mcp", "http"),
        ("x/mcp", "http"),
        ("http://", "http"),
        ("http://x:99999/", "http"),
        ("http://[::1/", "http"),
        ("http://u:p@x/", "password"),
        ("http://x/a b", "ASCII"),
        ("http://x/#f", "'#'"),
        ("http://x/ü", "ASCII"),
    ],
)
def test_an_upstream_address_that_cannot_be_used_is_refused(url: str, why: str) -> None:
    assert why in problem(upstreams={"a": {"url": url}})


@pytest.mark.parametrize("name", ["Host", "MCP-Protocol-Version", "content-length", "a b", "a:", ""])
def test_a_header_that_the_gateway_sets_or_that_is_none_is_refused(name: str) -> None:
    assert problem(upstreams={"a": {"url": "http://x/", "headers": {name: "v"}}})


def test_a_header_given_in_two_spellings_is_refused() -> None:
    assert "twice" in problem(upstreams={"a": {"url": "http://x/", "headers": {"X-A": "1", "x-a": "2"}}})


def test_a_header_value_with_a_line_break_is_refused() -> None:
    assert "line break" in problem(upstreams={"a": {"url": "http://x/", "headers": {"X-A": "1\r\nHost: y"}}})


def test_shadow_needs_its_last_day_and_enforce_takes_none() -> None:
    assert "last day" in problem(upstreams={"a": {"url": "http://x/", "mode": "shadow"}})
    assert "belongs" in problem(upstreams={"a": {"url": "http://x/", "until": "2027-01-31"}})


def test_shadow_is_enforced_from_the_day_after() -> None:
    shadowed = UpstreamSettings(url="http://x/", mode=Mode.SHADOW, until=date(2027, 1, 31))
    assert shadowed.mode_on(date(2027, 1, 31)) is Mode.SHADOW
    assert shadowed.mode_on(date(2027, 2, 1)) is Mode.ENFORCE
    assert UpstreamSettings(url="http://x/").mode_on(date(2027, 2, 1)) is Mode.ENFORCE


@pytest.mark.parametrize(
    ("members", "why"), [([], "no upstream"), (["a", "a"], "twice"), (["b"], "'b', which is no upstream")]
)
def test_a_view_holds_known_upstreams_once_each(members: list[str], why: str) -> None:
    assert why in problem(upstreams={"a": {"url": "http://x/"}}, views={"v": members})
    assert settings(upstreams={"a": {"url": "http://x/"}}, views={"v": ["a"]}).views["v"].upstreams == ("a",)


@pytest.mark.parametrize("search", ["also", "only", None])
def test_a_view_may_say_whether_its_tools_are_found_by_words(search: str | None) -> None:
    written = {"upstreams": ["a"], "search": search}
    (view,) = settings(upstreams={"a": {"url": "http://x/"}}, views={"v": written}).views.values()
    assert (view.upstreams, view.search) == (("a",), search)


def test_the_longest_call_that_reports_progress_has_a_bound_of_its_own() -> None:
    assert settings().limits.call_most_s == 600
    assert problem(limits={"call_most_s": 0})


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("h", False)],
)
def test_loopback_is_known_by_its_address(host: str, loopback: bool) -> None:
    assert Listen(host=host).loopback is loopback


def test_listening_beyond_loopback_needs_principals_and_no_insecure_local() -> None:
    principals = {"a": {"token_sha256": TOKEN}}
    assert "principals" in problem(listen={"host": "0.0.0.0"})
    assert "insecure_local" in problem(listen={"host": "0.0.0.0"}, principals=principals, insecure_local=True)
    assert settings(listen={"host": "0.0.0.0"}, principals=principals).listen.host == "0.0.0.0"


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        ({"engine": "opa"}, "needs url"),
        ({"url": "http://x/"}, "belongs"),
        ({"engine": "cedar"}, "regorus"),
    ],
)
def test_engine_and_url_belong_together(policy: dict[str, Any], why: str) -> None:
    assert why in problem(policy=policy)


def test_policy_data_has_one_document_per_name() -> None:
    twice = [{"name": "groups", "file": "a.json"}, {"name": "groups", "file": "b.json"}]
    assert "twice" in problem(policy={"data": twice})


@pytest.mark.parametrize("origin", ["", "a b", "a+b", "a\nb"])
def test_a_log_name_that_no_signed_head_may_carry_is_refused(origin: str) -> None:
    assert problem(audit={"origin": origin})


@pytest.mark.parametrize(("keep", "days"), [("1d", 1), ("365d", 365)])
def test_keep_is_whole_days(keep: str, days: int) -> None:
    assert settings(audit={"origin": "a", "keep": keep}).audit.keep_days == days


@pytest.mark.parametrize("keep", ["0d", "30", "-1d", "1w", "d"])
def test_keep_without_days_is_refused(keep: str) -> None:
    assert "30d" in problem(audit={"origin": "a", "keep": keep})


@pytest.mark.parametrize("user", [0, -1, 2**32 - 1, "", 1.5])
def test_tools_run_as_no_root_and_as_no_user_that_cannot_be(user: object) -> None:
    assert problem(run_as=user)


@pytest.mark.parametrize("user", [1000, "tools", None])
def test_tools_run_as_a_user_by_number_or_name(user: object) -> None:
    assert settings(run_as=user).run_as == user


def test_settings_cannot_be_changed() -> None:
    least = settings()
    with pytest.raises(ValidationError):
        least.insecure_local = True


def test_the_default_log_name_is_a_valid_one() -> None:
    assert settings(audit={"origin": default_origin()}).audit.origin.endswith("/bascule")


def test_one_key_is_one_person() -> None:
    approver = {"key": "ed25519:" + "A" * 43 + "="}
    assert "they would count as two people" in problem(approvers={"a": approver, "b": approver})
