"""Secrets: every form is found in text and in JSON, and what only looks like one is not."""

import orjson
import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from gateway.screening import credentials

QUICK = [re2.compile(form) for form in credentials.QUICK]
A = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hI6kL9nO2qR5tU8w"
AWS = "AK" + "IAQ3EGRZ2XJ7LMNOPQ"
KEY = "-----BEGIN RSA PRIVATE" + " KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----"
FORMS = [
    ("aws_key", AWS),
    ("aws_key", "AS" + "IAQ3EGRZ2XJ7LMNOPQ"),
    ("github_token", "gh" + "p_" + A[:36]),
    ("github_token", "github" + "_pat_" + A[:40]),
    ("gitlab_token", "gl" + "pat-" + A[:20]),
    ("slack_token", "xo" + "xb-1234567890-" + A[:20]),
    ("slack_token", "xa" + "pp-1-" + A[:20]),
    ("slack_webhook", "https://hooks." + "slack.com/services/T0/B0/" + A[:44]),
    ("google_key", "AI" + "za" + A[:35]),
    ("google_token", "ya" + "29." + A[:30]),
    ("stripe_key", "sk" + "_live_" + A[:24]),
    ("private_key", KEY),
    ("jwt", "ey" + "JhbGciOiJIUzI1NiJ9.ey" + "JzdWIiOiIxMjM0NTY3ODkwIn0." + A[:43]),
    ("npm_token", "np" + "m_" + A[:36]),
    ("pypi_token", "py" + "pi-AgEIcHlwaS5vcmc" + A + A),
    ("anthropic_key", "sk" + "-ant-api03-" + A[:40]),
    ("openai_key", "sk" + "-proj-" + A[:40]),
    ("openai_key", "sk" + "-" + A[:20] + "T3BlbkFJ" + A[20:40]),
    ("huggingface_token", "h" + "f_" + "AbCdEfGhIjKlMnOpQrStUvWxYzAbCdEfGh"),
    ("sendgrid_key", "S" + "G." + A[:22] + "." + A[:43]),
    ("digitalocean_token", "do" + "p_v1_" + "0123456789abcdef" * 4),
    ("azure_key", "Account" + "Key=" + "Ab3/" * 21 + "Ab=="),
    ("url_password", "postgres" + "://user:s3cret@db.example.com"),
]


def found(text: str, name: str = "") -> list[tuple[str, str]]:
    under_name = credentials.named(name)
    return [(kind, text[start:end]) for kind, start, end in credentials.find(text, under_name, credentials.EVERY)]


@pytest.mark.parametrize(("kind", "secret"), FORMS, ids=[f"{place}-{kind}" for place, (kind, _) in enumerate(FORMS)])
@pytest.mark.parametrize("around", ["{}", "token: {}\n", '"{}"', "\n{}\t", "\u00e9 {} \u65e5"])
def test_every_form_is_found_wherever_it_stands(kind: str, secret: str, around: str) -> None:
    text = around.format(secret)
    assert (kind, secret) in found(text)
    assert any(form.search(orjson.dumps(text)) for form in QUICK)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ('password = "hunter2hunter2"', "hunter2hunter2"),
        ("API_KEY: 'abc123DEF456'", "abc123DEF456"),
        ('{"client_secret": "aB3dE6gH9"}', "aB3dE6gH9"),
        ('{\\"password\\": \\"aB3dE6gH9\\"}', "aB3dE6gH9"),
        ('db.passwd := "pa55-word"', "pa55-word"),
        ('access_token => "abcd1234"', "abcd1234"),
    ],
)
def test_an_assigned_secret_is_found(text: str, secret: str) -> None:
    assert found(text) == [("password", secret)]
    assert any(form.search(orjson.dumps(text)) for form in QUICK)


@pytest.mark.parametrize(
    "text",
    [
        "the password is not here",
        'password = "short1"',
        'password = "justaword"',
        'password = "changeme123"',
        'password: "${DB_PASSWORD}"',
        'password: "<your-password>"',
        'password = "********"',
        'api_key = "YOUR_API_KEY_1"',
        'password = "example-Passw0rd"',
        "password: hunter2hunter2",
        "https://example.com:8080/path@x",
        "user@example.com:22",
        "X" + AWS,
        AWS[:-1],
        "sk-learn-and-other-words",
        "eyJhbGciOiJIUzI1NiJ9",
        "-----BEGIN PUBLIC KEY-----",
        A,
    ],
)
def test_what_only_looks_like_a_secret_is_not_one(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("password", "S3cretPass", True),
        ("db_api_key", "abc123def456", True),
        ("password", "justaword", False),
        ("password", "two Words1", False),
        ("password", "aB1", False),
        ("note", "S3cretPass", False),
        ("password_hint", "S3cretPass", False),
    ],
)
def test_a_value_under_a_secret_name_is_found(name: str, value: str, secret: bool) -> None:
    assert bool(found(value, name)) is secret
    if secret:
        assert any(form.search(orjson.dumps({name: value})) for form in QUICK)


def test_a_private_key_is_taken_whole_even_when_its_end_is_missing() -> None:
    assert found(f"a {KEY} b") == [("private_key", KEY)]
    open_end = KEY.partition("-----END")[0]
    assert found("a " + open_end) == [("private_key", open_end)]


BEGIN = "-----BEGIN PRIVATE" + " KEY-----"


@pytest.mark.parametrize("end", ["", "-----END PRIVATE KEY-----"])
def test_a_private_key_is_looked_to_the_end_of_once_and_not_from_every_beginning_in_it(
    end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ends:
        searched = 0

        def search(self, text: str, start: int) -> object:
            Ends.searched += 1
            return ends.search(text, start)

    ends = credentials._PRIVATE_KEY_ENDS
    monkeypatch.setattr(credentials, "_PRIVATE_KEY_ENDS", Ends())
    text = BEGIN * 5000 + end
    assert found(text) == [("private_key", text)]
    assert Ends.searched == 1


def test_private_keys_one_after_the_other_are_each_found() -> None:
    assert found(f"{KEY}\n{KEY}") == [("private_key", KEY)] * 2


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("password", True),
        ("x" * 1000 + "Client-Secret", True),
        ("line\npassword", True),
        ("password" + "x" * 1000, False),
        ("passwords", False),
        ("", False),
    ],
)
def test_a_name_is_judged_by_its_end(name: str, said: bool) -> None:
    assert credentials.named(name) is said


def test_only_the_end_of_a_name_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    class Looked:
        def search(self, name: str) -> None:
            lengths.append(len(name))

    lengths: list[int] = []
    monkeypatch.setattr(credentials, "_NAMED", Looked())
    assert credentials.named("k" * 100_000) is False
    assert lengths == [credentials.NAMES_END]


def test_no_secret_is_shorter_than_what_is_passed_over() -> None:
    shortest = ["ab" + "://c:def@g", "pwd" + "='abcd123!'"]
    assert [len(found(text)) for text in shortest] == [1, 1]
    assert min(map(len, shortest)) >= credentials.SHORTEST
    assert min(len(secret) for _, secret in FORMS) >= credentials.SHORTEST


def test_text_with_a_lone_surrogate_is_read_all_the_same() -> None:
    assert found("\ud800 " + AWS) == [("aws_key", AWS)]


@given(
    st.text(st.sampled_from("aZ1_-.:/@=\"' \n\\") | st.characters(exclude_categories=["Cs"])), st.sampled_from(FORMS)
)
def test_the_quick_look_misses_nothing(text: str, form: tuple[str, str]) -> None:
    half = len(text) // 2
    whole = text[:half] + form[1] + text[half:]
    if found(whole):
        assert any(quick.search(orjson.dumps({"text": whole})) for quick in QUICK)
