"""Budgets as `bascule.yaml` declares them: what each counts, whose it is, how much, and what one call costs."""

import re
from typing import Annotated, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

MOST: Final = 2**53
"""Of a cost and of a limit: what every reader of JSON holds exactly."""
LONGEST_SECONDS: Final = 366 * 86_400
_SPAN: Final = r"^[1-9][0-9]{0,5}[smhdw]$"
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def _span(value: object, info: ValidationInfo) -> object:
    if isinstance(value, str):
        if not re.fullmatch(_SPAN, value):
            raise ValueError("should be a time with its unit, such as 30s, 5m, 1h, 1d or 1w")
        seconds = int(value[:-1]) * _SECONDS[value[-1]]
        if seconds > LONGEST_SECONDS:
            raise ValueError("should be at most 366d; without a window a budget lasts for ever")
        return seconds
    if info.context:
        raise ValueError("should be a time with its unit, such as 30s, 5m, 1h, 1d or 1w")
    return value


BudgetName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Span = Annotated[int, BeforeValidator(_span), WithJsonSchema({"type": "string", "pattern": _SPAN})]
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Pointer = Annotated[str, StringConstraints(pattern=r"^(/([^/~]|~[01])*)+$", max_length=512)]
Measure = Literal["calls", "units", "money", "bytes_out", "risk"]
Dimension = Literal["tenant", "principal", "upstream", "tool", "task"]


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True, populate_by_name=True
    )


class CostSettings(_Part):
    """What one call costs: the same always (`fixed`), or what an argument says (`at`)."""

    fixed: int | None = Field(default=None, ge=0, le=MOST)
    """The same for every call."""
    at: Pointer | None = None
    """JSON pointer into the arguments, to an integer; money in minor units (cents). Anything else is refused."""
    times: int = Field(default=1, ge=1, le=MOST)
    """What the argument is multiplied by."""
    currency_at: Pointer | None = None
    """JSON pointer to the argument that names the currency. Without it every call is in the budget's own."""

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.fixed is None) == (self.at is None):
            raise ValueError("should have fixed (the same for each call) or at (what an argument says), one of the two")
        if self.fixed is not None and {"times", "currency_at"} & self.model_fields_set:
            raise ValueError("times and currency_at go with at")
        return self


class WhereSettings(_Part):
    """Which calls a budget counts: those that match one pattern of each list; `*` stands for any text."""

    tenant: tuple[Pattern, ...] = ()
    """Tenants."""
    principal: tuple[Pattern, ...] = ()
    """Principals."""
    upstream: tuple[Pattern, ...] = ()
    """Upstreams."""
    tool: tuple[Pattern, ...] = ()
    """Tools, by their own names. Named here, nothing but tools is counted."""


class BudgetSettings(_Part):
    """What may be used up, by whom, in which time. Reserved before a call runs, used once it ran."""

    of: Measure
    """`calls`, `bytes_out` (the arguments as sent), or what `cost` says: `units`, `risk`, `money`."""
    currency: str | None = Field(default=None, pattern=r"^[A-Z]{3}$")
    """Of `money`: three letters, such as EUR."""
    per: tuple[Dimension, ...] = ()
    """Each of them, and each combination, has a budget of its own; without any there is one for all."""
    where: WhereSettings = WhereSettings()
    """Which calls it counts; every call without."""
    limit: int = Field(ge=0, le=MOST)
    """How much there is."""
    window: Span | None = None
    """The time after which it begins anew, counted from 1970 in UTC; without it what is used never comes back."""
    cost: CostSettings | None = None
    """What one call costs; of `calls` it is 1, of `bytes_out` their number."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        counted = self.of in ("calls", "bytes_out")
        if counted and self.cost is not None:
            raise ValueError(f"cost does not go with of: {self.of}, which is counted by itself")
        if not counted and self.cost is None:
            raise ValueError(f"of: {self.of} needs cost, such as cost: {{fixed: 1}} or cost: {{at: /amount}}")
        if (self.of == "money") != (self.currency is not None):
            raise ValueError("of: money needs currency" if self.of == "money" else "currency belongs to of: money")
        if self.of != "money" and self.cost is not None and self.cost.currency_at is not None:
            raise ValueError("currency_at belongs to of: money")
        if len(set(self.per)) != len(self.per):
            raise ValueError("per names one of them twice")
        return self
