"""Recorded calls tried under a changed policy: what it would say now. Decides nothing and records nothing."""

from collections import Counter
from collections.abc import Iterable, Mapping

import orjson

from gateway.model import Effect
from gateway.policy.bundle import USER, Bundle, compiled
from gateway.policy.seen import SeenCall

MOST = 2_000
"""Different inputs that are tried."""


def with_file(bundle: Bundle, name: str, text: str) -> Bundle:
    """The bundle with one more file of the user's, or with another text of it. Unchecked."""
    return Bundle.of({**bundle.files, f"{USER}{name}": text}, dict(bundle.data))


def not_allowed(bundle: Bundle, calls: Iterable[SeenCall]) -> Mapping[tuple[str, str, str], int]:
    """How many calls the bundle does not allow, by principal, upstream and tool."""
    engine = compiled(bundle)
    answers: dict[bytes, bool] = {}
    counts: Counter[tuple[str, str, str]] = Counter()
    for call in calls:
        encoded = orjson.dumps(call.document)
        if encoded not in answers:
            if len(answers) >= MOST:
                continue
            engine.set_input_json(encoded.decode())
            answer = orjson.loads(engine.eval_rule_as_json("data.bascule.call.decision"))
            answers[encoded] = answer["effect"] == Effect.ALLOW
        if not answers[encoded]:
            counts[call.principal["id"], *call.tool] += 1
    return counts
