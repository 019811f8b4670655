"""`upstream …`: what is asked and what is shown."""

import json

import pytest

from gateway.model import JsonObject
from tests.cli.commandline import Admin, Run

LISTED = {
    "upstreams": [
        {
            "name": "crm",
            "reached": "https://x/",
            "sandbox": "",
            "mode": "shadow",
            "until": "2027-01-31",
            "trust": "review",
            "tools": {},
        }
    ]
}
SHOWN = {
    "tools": [
        {"name": "find", "state": "drifted", "listed": True, "mode": "enforce", "pin": "sha256:1", "difference": []}
    ],
    "problems": [{"tool": "bad\x1bname", "problem": "charset"}],
    "unreachable": "UPSTREAM_UNAVAILABLE: it does not answer",
}


@pytest.mark.parametrize(
    ("words", "answer", "asked", "said"),
    [
        (("list",), LISTED, ("upstream_list", {}), "crm\thttps://x/\t\tshadow\t2027-01-31\treview\t-"),
        (("list",), {"upstreams": []}, ("upstream_list", {}), "no upstreams: bascule add"),
        (("show", "crm"), SHOWN, ("upstream_show", {"name": "crm"}), "find\tdrifted\tTrue\tenforce\tsha256:1\t-"),
        (("show", "crm"), SHOWN, ("upstream_show", {"name": "crm"}), "not reached: UPSTREAM_UNAVAILABLE"),
        (("show", "crm"), SHOWN, ("upstream_show", {"name": "crm"}), "not shown: bad\\u001bname: charset"),
        (("show", "crm"), {"tools": []}, ("upstream_show", {"name": "crm"}), "no tools"),
        (
            ("accept", "crm", "find", "--digest", "sha256:1"),
            {"accepted": [{"tool": "find", "pin": "sha256:1"}]},
            ("upstream_accept", {"name": "crm", "tool": "find", "digest": "sha256:1", "newest": False}),
            "find\tsha256:1",
        ),
        (
            ("accept", "crm"),
            {"accepted": []},
            ("upstream_accept", {"name": "crm", "tool": None, "digest": None, "newest": False}),
            "nothing was waiting",
        ),
        (
            ("quarantine", "crm", "find"),
            {"quarantined": ["find"]},
            ("upstream_quarantine", {"name": "crm", "tool": "find"}),
            "quarantined: find",
        ),
        (
            ("quarantine", "crm"),
            {"quarantined": []},
            ("upstream_quarantine", {"name": "crm", "tool": None}),
            "quarantined: nothing",
        ),
    ],
)
def test_an_action_is_asked_and_shown(
    run: Run, admin: Admin, words: tuple[str, ...], answer: JsonObject, asked: tuple[str, JsonObject], said: str
) -> None:
    admin.answer = answer
    ended = run("upstream", *words)
    assert ended.status == 0
    assert said in ended.out.splitlines() or said in ended.out
    assert json.loads(run("upstream", *words, "--json").out) == answer
    assert admin.asked == [asked, asked]
