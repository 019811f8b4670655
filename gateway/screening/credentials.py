"""Secrets a result gives away, by the forms their issuers gave them: a first set, in linear time (re2).

A rule is a form with a fixed beginning wherever the issuer has one. The general one (`password = "…"`) asks for quotes
and for a value that is not a word, a placeholder or a reference.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import re2

_FORMS: tuple[tuple[str, str], ...] = (
    ("aws_key", r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}"),
    ("github_token", r"gh[pousr]_[A-Za-z0-9]{36,255}"),
    ("github_token", r"github_pat_[A-Za-z0-9_]{22,255}"),
    ("gitlab_token", r"gl(?:pat|dt|rt|cbt|ptt|soat)-[A-Za-z0-9_-]{20,255}"),
    ("slack_token", r"xox[abeoprs]-[A-Za-z0-9-]{10,255}"),
    ("slack_token", r"xapp-[0-9]-[A-Za-z0-9-]{10,255}"),
    ("slack_webhook", r"https://hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9+/]{40,60}"),
    ("google_key", r"AIza[A-Za-z0-9_-]{35}"),
    ("google_token", r"ya29\.[A-Za-z0-9_-]{20,1000}"),
    ("stripe_key", r"(?:sk|rk)_(?:live|test|prod)_[A-Za-z0-9]{10,99}"),
    ("private_key", r"-----BEGIN[A-Z0-9 ]{0,40} PRIVATE KEY(?: BLOCK)?-----"),
    ("jwt", r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
    ("npm_token", r"npm_[A-Za-z0-9]{36}"),
    ("pypi_token", r"pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,1000}"),
    ("anthropic_key", r"sk-ant-[a-z0-9]{3,10}-[A-Za-z0-9_-]{20,200}"),
    ("openai_key", r"sk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20,250}"),
    ("openai_key", r"sk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}"),
    ("huggingface_token", r"hf_[A-Za-z]{34}"),
    ("sendgrid_key", r"SG\.[A-Za-z0-9_-]{20,24}\.[A-Za-z0-9_-]{39,50}"),
    ("digitalocean_token", r"do[opr]_v1_[a-f0-9]{64}"),
    ("azure_key", r"AccountKey=[A-Za-z0-9+/]{86}=="),
    (
        "url_password",
        r"[a-z][a-z0-9+.-]{1,20}://[^\s\x00-\x1f:/?#@\"\\]{1,100}:[^\s\x00-\x1f:/?#@\"\\]{3,100}@[A-Za-z0-9.-]+",
    ),
)
_NAME = r"(?:password|passwd|pwd|secret|api[_-]?key|access[_-]?key|auth[_-]?token|access[_-]?token|client[_-]?secret)"
_ASSIGNED = (
    rf"(?i){_NAME}[\"'\\]{{0,4}} {{0,3}}(?::=|=>|=|:) {{0,3}}\\{{0,3}}[\"']([^\s\x00-\x1f\"'\\]{{8,128}})\\{{0,3}}[\"']"
)
_SCHEME = "[a-z][a-z0-9+.-]{1,20}:"
_LAST = re.compile(r"\{(\d+),\d*\}$")
QUICK = (*(_LAST.sub(r"{\1}", form.replace(_SCHEME, "[a-z0-9+.-]:")) for _, form in _FORMS), _ASSIGNED)
"""For re2, over a text or a JSON text: nothing secret is without it. It may find too much.

A scheme's whole name and all beyond the least length are left to the form: counting from every letter and through
hundreds costs an automaton a new state for most characters of an unkind text.
"""
EVERY = frozenset(range(len(QUICK)))
_GENERAL = len(_FORMS)

_BEFORE = r"(?:^|[^A-Za-z0-9_]|\x1b\[[0-9;]*m)"
"""A secret begins where a word does, or after a colour."""
SHORTEST = 12
"""No form but a value under a secret name fits into less."""
NAMES_END = 64
"""Characters of a name that are looked at, from its end."""


def _options() -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 64 << 20
    return options


def automaton(patterns: Iterable[str]) -> Any:
    """One automaton for all patterns: `Match` gives the places of those that are in a text."""
    one = re2.Set.SearchSet(_options())
    for pattern in patterns:
        one.Add(pattern)
    one.Compile()
    return one


_BOUNDED = tuple((kind, re2.compile(f"{_BEFORE}({form})", _options())) for kind, form in _FORMS)
_SUSPECT = automaton(QUICK)
_PRIVATE_KEY_ENDS = re.compile(r"-----END[A-Z0-9 ]{0,40} PRIVATE KEY(?: BLOCK)?-----")
_ASSIGNMENT = re2.compile(_ASSIGNED)
_SURROGATE = re.compile("[\ud800-\udfff]")
_NAMED = re.compile(rf"{_NAME}\Z", re.IGNORECASE)
_PLACEHOLDER = re.compile(
    r"[$%{<\[]|(?:x+|\*+|\.+|-+)$|.*(?:example|changeme|change_me|placeholder|redacted|your[_-]|dummy|sample)",
    re.IGNORECASE,
)


def named(name: str) -> bool:
    """Whether a name says that its value is a secret: by its end, so a long name costs no more than a short one."""
    return _NAMED.search(name[-NAMES_END:]) is not None


def find(text: str, under_name: bool, forms: frozenset[int]) -> Iterator[tuple[str, int, int]]:  # noqa: FBT001 - HOT
    """Kind, start and end of every secret in a text, `under_name` one that says so; `forms` are places in QUICK."""
    suspected: list[int] = []
    if len(text) >= SHORTEST:
        if not text.isascii():
            text = _SURROGATE.sub("?", text)  # re2 reads UTF-8, which has none; places stay the same
        suspected = sorted(forms.intersection(_SUSPECT.Match(text) or ()))
    for place in suspected:
        if place != _GENERAL:
            yield from _spans(*_BOUNDED[place], text)
    if under_name and _GENERAL in forms and 8 <= len(text) <= 128 and " " not in text and _guessable(text):
        yield "password", 0, len(text)
    elif _GENERAL in suspected:
        for match in _ASSIGNMENT.finditer(text):
            if _guessable(match[1]):
                yield "password", *match.span(1)


def _spans(kind: str, form: Any, text: str) -> Iterator[tuple[str, int, int]]:
    """Every place of a form. A private key goes on to its end, past every beginning inside it."""
    done = 0
    for match in form.finditer(text):
        start, end = match.span(1)
        if start < done:
            continue
        if kind == "private_key":
            closing = _PRIVATE_KEY_ENDS.search(text, end)
            done = end = closing.end() if closing else len(text)
        yield kind, start, end


def _guessable(value: str) -> bool:
    """Whether an assigned value looks like a secret rather than a word, a placeholder or a reference."""
    if _PLACEHOLDER.match(value):
        return False
    kinds = (str.islower, str.isupper, str.isdigit, lambda char: not char.isalnum())
    return sum(any(map(kind, value)) for kind in kinds) >= 2
