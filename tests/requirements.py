"""Every promise Bascule makes, with its source. A promise without a test is not made.

A test names the promises it keeps with `@pytest.mark.promise("id", ...)`; `test_requirements.py` checks both
directions: every promise here has a test, and every id a test names is here.
"""

PROMISES: dict[str, str] = {
    # design.md, Promises
    "judged-is-what-runs": "design.md 1: what goes upstream is our own serialisation of it",
    "recorded-before-it-runs": "design.md 2: no byte reaches an upstream before the allow for that call is durable",
    "every-ending-is-recorded": "design.md 3: done, failed, withheld, unknown, refused; kill -9 loses no acknowledged record",
    "fail-closed": "design.md 4: no rule, engine error, unknown obligation, drift, a log that cannot commit: each refuses",
    "log-needs-no-trust": "design.md 5: heads, proofs and tiles in public formats that other programs verify offline",
    "refusal-explains-itself": "design.md 6: a stable code, a safe reason, what would make it pass",
    "secrets-stay-inside": "design.md 9: no upstream credential to agents, no agent token to upstreams, no payload in leaves",
    "decided-again": "design.md 10: the same answer from the record alone, with the bundle swapped since",
    # style.md
    "house.sizes": "style.md 7",
    "house.mirror": "style.md 8, 18",
    "house.words": "style.md 9",
    "house.lock": "dependencies are pinned by hash in lock files that hold no addresses",
    "house.requirements": "style.md 19",
}
