"""What a proposal costs and whose budget it costs: pure functions of the proposal. Whatever is no cost is refused."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

import orjson

from gateway.allowances import MOST, BudgetSettings, CostSettings
from gateway.errors import Refused
from gateway.kinds import Kind
from gateway.model import Call, Code, Proposal
from gateway.wire.jsonrpc import encode

COUNTED: Final = frozenset({Kind.TOOL, Kind.RESOURCE, Kind.PROMPT, Kind.COMPLETION, Kind.OTHER})
"""The kinds of proposals that budgets count: what a client asks of an upstream, and the upstream does at once."""
_ABSENT: Final = object()


def touches(proposal: Proposal, budget: BudgetSettings) -> bool:
    """Whether the budget counts this proposal."""
    call, pin, where = proposal.call, proposal.pin, budget.where
    if call.kind not in COUNTED or (where.tool and call.kind != Kind.TOOL):
        return False
    who = call.principal
    pairs = (
        (where.tenant, who.tenant),
        (where.principal, who.id),
        (where.upstream, pin.upstream),
        (where.tool, pin.name),
    )
    return all(not patterns or any(_pattern(one).fullmatch(name) for one in patterns) for patterns, name in pairs)


def scope(proposal: Proposal, budget: BudgetSettings) -> str:
    """Whose budget it is, as canonical JSON: what `per` names, and what the proposal says there."""
    call, pin = proposal.call, proposal.pin
    tool = f"{pin.upstream}/{pin.name}" if call.kind == Kind.TOOL else f"{pin.upstream}/({call.kind})"
    said = {
        "tenant": call.principal.tenant,
        "principal": call.principal.id,
        "upstream": pin.upstream,
        "tool": tool,
        "task": call.task,
    }
    return orjson.dumps({name: said[name] for name in budget.per}, option=orjson.OPT_SORT_KEYS).decode()


def amount(proposal: Proposal, name: str, budget: BudgetSettings) -> int:
    """What the proposal costs of this budget.

    Raises:
        Refused: SEMANTIC, what should be the cost is none.
    """
    if budget.cost is None:
        return 1 if budget.of == "calls" else len(encode(proposal.call.arguments))
    if budget.cost.at is None:
        return budget.cost.fixed or 0
    value = _at(proposal.call, budget.cost.at)
    problem = _problem(value, budget.cost)
    if problem:
        unit = f"minor units of {budget.currency}" if budget.of == "money" else budget.of
        fix = f"an integer of 0 or more ({unit}) at {budget.cost.at}"
        reason = f"the argument {budget.cost.at} is its cost for the budget '{name}', and {problem}"
        raise Refused(Code.SEMANTIC, reason, would_pass=fix)
    return int(value) * budget.cost.times


def in_currency(proposal: Proposal, budget: BudgetSettings) -> bool:
    """Whether the proposal is in the currency of this budget of money, as far as it says."""
    if budget.cost is None or budget.cost.currency_at is None:
        return True
    return bool(_at(proposal.call, budget.cost.currency_at) == budget.currency)


def foreign(names: Iterable[str]) -> Refused:
    """The refusal of what costs money in a currency that none of these budgets has."""
    reason = f"its currency is none that its budgets are in ({', '.join(names)})"
    return Refused(Code.SEMANTIC, reason, would_pass="the currency of a budget")


def _problem(value: Any, cost: CostSettings) -> str:
    if value is _ABSENT:
        return "is missing"
    if type(value) is not int:  # True is none, nor is 5.0
        return "is no integer"
    if value < 0:
        return "is negative"
    return "is too large to count" if value * cost.times > MOST else ""


def _at(call: Call, pointer: str) -> Any:
    value: Any = call.arguments
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(key, _ABSENT)
        elif isinstance(value, list) and re.fullmatch(r"0|[1-9][0-9]{0,8}", key) and int(key) < len(value):
            value = value[int(key)]
        else:
            return _ABSENT
    return value


@lru_cache(maxsize=1024)
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in re.split(r"\*+", pattern)), re.DOTALL)
