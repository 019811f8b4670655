"""What a `require_approval` rule demands: whose agreement, of how many people, and how long it may take.

    require_approval contains {"reason": "…", "from": ["ops"], "quorum": 2, "expires": "4h"} if …

Each rule's demand stands by itself and must be met; equal ones are one.
"""

import re
from typing import Any, Final

from gateway.model import Demand

DEFAULT_SECONDS: Final = 86_400
LONGEST_SECONDS: Final = 30 * 86_400
MOST_PEOPLE: Final = 20
_SPAN: Final = re.compile(r"([1-9][0-9]{0,6})(s|m|h|d)")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def of(members: list[Any]) -> tuple[Demand, ...]:
    """The demands of the rules that spoke, in a stable order.

    Raises:
        ValueError: one is not what it must be; nobody could be asked rightly.
    """
    found = {_demand(member) if type(member) is dict else Demand() for member in members}
    narrow = {one for one in found if one != Demand()}
    return tuple(sorted(narrow or {Demand()}, key=repr))


def _demand(member: dict[str, Any]) -> Demand:
    roles, quorum = member.get("from", []), member.get("quorum", 1)
    if type(roles) is not list or not all(type(role) is str and role for role in roles):
        raise ValueError(f"`from` should be a list of roles, not {roles!r:.80}")
    if type(quorum) is not int or not 1 <= quorum <= MOST_PEOPLE:
        raise ValueError(f"`quorum` should be a number of people from 1 to {MOST_PEOPLE}, not {quorum!r:.80}")
    return Demand(tuple(sorted(set(roles))), quorum, _seconds(member.get("expires", f"{DEFAULT_SECONDS}s")))


def _seconds(stated: object) -> int:
    parts = _SPAN.fullmatch(stated) if type(stated) is str else None
    seconds = int(parts[1]) * _SECONDS[parts[2]] if parts else 0
    if not 0 < seconds <= LONGEST_SECONDS:
        raise ValueError(f"`expires` should be a time such as 30m, 4h or 2d, at most 30d, not {stated!r:.80}")
    return seconds
