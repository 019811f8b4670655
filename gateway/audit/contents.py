"""What the leaves say, held against the rows, payloads and bundles that are stored beside them.

Not a judge of the leaves themselves: `verify` does that. A kind this version does not know is passed over.
"""

from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from gateway.audit import leaf, seal
from gateway.model import Ending, RunState
from gateway.storage.database import Payload, Reader, RunRow

OF_RUNS = frozenset(
    {
        "approval.requested",
        "approval.granted",
        "approval.expired",
        "call.intent",
        "call.refused",
        "call.settled",
        "run.resolved",
    }
)
BEGINNINGS = frozenset({"approval.requested", "call.intent", "call.refused"})
"""The kinds whose sealed values say who asked, for which task and for what."""
BY_A_PERSON = (Ending.DONE, Ending.FAILED)
Document = Mapping[str, Any]


class Contents:
    """`begin`, one pass over the leaves in order, a block (it may be empty) at a time, then `conclude`."""

    def __init__(
        self, reader: Reader, *, sealing: bytes | None, digest: Callable[[bytes], str] | None, now: int | None
    ) -> None:
        self.findings: list[tuple[str, str]] = []
        self.counts = {"runs": 0, "payloads": 0, "erased": 0, "opened": 0, "bundles": 0}
        self._reader, self._sealing, self._digest, self._now = reader, sealing, digest, now
        self._expires = array("q")
        self._bundles: set[str] = set()
        self._doubted: set[str] = set()
        self._agreed: set[str] = set()
        self._opened = self._settled = 0
        self._checks: dict[str, Callable[[int, Document, RunRow], None]] = {
            "approval.requested": self._waits,
            "approval.expired": self._lapsed,
            "approval.granted": self._granted,
            "call.intent": self._intent,
            "call.refused": self._refused,
            "call.settled": self._ended,
            "run.resolved": self._decided_by_a_person,
        }

    def block(self, first: int, end: int, rows: Sequence[tuple[int, bytes, bytes]]) -> None:
        """Check what these leaves say. HOT"""
        documents = [(row[0], self._document(row[0], row[2])) for row in rows]
        runs = self._rows([said["run"] for _, said in documents if said.get("kind") in OF_RUNS and "run" in said])
        for index, said in documents:
            if said.get("kind") in OF_RUNS:
                run = str(said.get("run"))
                row = runs.get(run)
                if row is None:
                    self._found(f"run {run}", f"leaf {index} records it, its row is missing")
                else:
                    self._checks[said["kind"]](index, said, row)
            self._kept(index, said, runs.get(said.get("run", "")))
            self._decided(index, said)
        if self._sealing is not None:
            known = dict(documents)
            for payload in self._reader.payloads(first, end):
                if payload.leaf in known:
                    self._payload(payload, known[payload.leaf], runs.get(known[payload.leaf].get("run", "")))

    def conclude(self) -> None:
        """What no leaf speaks of: rows and payloads that belong to none."""
        for at, expires in enumerate(self._expires):
            if expires:
                self._found(f"payload {at}", "no leaf says that it is kept")
        total, settled = self._reader.run_counts()
        self.counts["runs"] = total
        if (total, settled) != (self._opened, self._settled):
            self._strays()
            if not self.findings:
                self._found("runs", f"{total} rows, the leaves speak of {self._opened}")

    def begin(self, count: int) -> None:
        """What is stored beside `count` leaves."""
        self._expires = array("q", bytes(8 * count))
        for digest, content in self._reader.bundles():
            self.counts["bundles"] += 1
            self._bundles.add(digest)
            if self._digest is not None and not self._is(digest, content):
                self._found(f"bundle {digest}", "its content has another digest")
        for index, expires in self._reader.kept():
            self.counts["payloads"] += 1
            if not 0 <= index < count:
                self._found(f"payload {index}", "belongs to no leaf")
            elif expires <= 0:  # 0 stands for none
                self._found(f"payload {index}", "its time to expire was changed")
            else:
                self._expires[index] = expires

    def _is(self, digest: str, content: bytes) -> bool:
        try:
            return self._digest is not None and self._digest(content) == digest
        except Exception:  # noqa: BLE001 - changed bytes may break whoever unpacks them in any way
            return False

    def _found(self, where: str, what: str) -> None:
        self.findings.append((where, what))

    def _document(self, index: int, record: bytes) -> Document:
        try:
            said = orjson.loads(record)
        except orjson.JSONDecodeError:
            said = None
        if not isinstance(said, dict):
            self._found(f"leaf {index}", "is no JSON object")
            return {}
        for name, kind in (("kind", str), ("run", str), ("id", str), ("commit", dict), ("decision", dict)):
            if name in said and not isinstance(said[name], kind):
                self._found(f"leaf {index}", f"its {name} is none")
                return {}
        return said

    def _rows(self, names: Sequence[str]) -> dict[str, RunRow]:
        return {row.run: row for row in self._reader.runs_named(names)} if names else {}

    def _waits(self, index: int, said: Document, row: RunRow) -> None:
        self._opened += 1
        wrong = _named(said, row)
        if row.asked != index:
            wrong.append("asked")
        if _time(row.opened) != said.get("ts"):
            wrong.append("opened")
        if row.state == RunState.WAITING and _went_on(row) != (None, None, None, "", ""):
            wrong.append("state")
        if row.state != RunState.WAITING and row.intent is None and row.settled is None:
            wrong.append("state")
        self._differs(index, row, wrong)

    def _intent(self, index: int, said: Document, row: RunRow) -> None:
        wrong = _named(said, row)
        if row.intent != index:
            wrong.append("intent")
        if (approval := said.get("approval")) is not None and approval not in self._agreed:
            self._found(
                f"run {row.run}", f"leaf {index} uses approval {approval}, and no record says that it was granted"
            )
        self._agreed.discard(str(approval))
        if row.asked is None:
            self._opened += 1
            if _time(row.opened) != said.get("ts"):
                wrong.append("opened")
        if row.state == RunState.INTENDED and (row.settled, row.ended, row.ending, row.code) != (None, None, "", ""):
            wrong.append("state")
        if row.state != RunState.INTENDED and row.settled is None:
            wrong.append("settled")
        self._differs(index, row, wrong)

    def _granted(self, _index: int, said: Document, _row: RunRow) -> None:
        if said.get("complete") is True and isinstance(said.get("approval"), str):
            self._agreed.add(said["approval"])

    def _refused(self, index: int, said: Document, row: RunRow) -> None:
        self._settled += row.settled == index
        wrong = _named(said, row)
        if row.intent is not None:
            wrong.append("intent")
        if row.asked is None:
            self._opened += 1
            if row.opened != row.ended:
                wrong.append("opened")
        self._differs(index, row, wrong + _ending(index, said, row, RunState.ENDED, Ending.REFUSED))

    def _lapsed(self, index: int, said: Document, row: RunRow) -> None:
        self._settled += row.settled == index
        self._differs(index, row, _ending(index, said, row, RunState.ENDED, Ending.EXPIRED))

    def _ended(self, index: int, said: Document, row: RunRow) -> None:
        settled = said["kind"] == "call.settled"
        if settled and said.get("ending") == Ending.UNKNOWN:
            self._doubted.add(row.run)
        if row.settled != index and settled and self._resolved(index, row):
            return
        self._settled += row.settled == index
        ending = said.get("ending", row.ending)
        state = RunState.FROZEN if settled and ending == Ending.UNKNOWN else RunState.ENDED
        wrong = _ending(index, said, row, state, ending)
        if wrong:
            self._differs(index, row, wrong)

    def _decided_by_a_person(self, index: int, said: Document, row: RunRow) -> None:
        """A person can say of a run that ended `unknown` whether it was done, and nothing else of any other."""
        if said.get("ending") not in BY_A_PERSON:
            self._found(f"run {row.run}", f"leaf {index} names no ending that a person can give")
        elif row.run not in self._doubted:
            self._found(f"run {row.run}", f"leaf {index} resolves it, and no record says that its end is unknown")
        else:
            self._ended(index, said, row)

    def _resolved(self, index: int, row: RunRow) -> bool:
        """Whether a later record of an operator, checked when it is reached, took the place of this ending."""
        if row.settled is None or row.settled < index:
            return False
        said = self._document(row.settled, self._reader.leaf(row.settled) or b"{}")
        return said.get("kind") == "run.resolved" and said.get("run") == row.run

    def _differs(self, index: int, row: RunRow, wrong: Sequence[str]) -> None:
        if wrong:
            self._found(f"run {row.run}", f"its row differs from leaf {index} in {', '.join(wrong)}")

    def _kept(self, index: int, said: Document, row: RunRow | None) -> None:
        keep = said.get("keep", 0)
        expires = self._expires[index]
        if keep == expires:
            if expires:
                self._expires[index] = 0
            return
        if not isinstance(keep, int):
            self._found(f"leaf {index}", "keep is no number")
        elif keep and not expires:
            if self._now is not None and keep > self._now:
                self._found(f"payload {index}", f"is missing, and was to be kept until {keep}")
            else:
                self.counts["erased"] += 1
                self._forgotten(index, said, row)
        elif keep:
            self._found(f"payload {index}", "its time to expire was changed")
            self._expires[index] = 0

    def _forgotten(self, index: int, said: Document, row: RunRow | None) -> None:
        """Whoever erases a payload clears what the row copied from it."""
        if row is None or said.get("kind") not in BEGINNINGS or index != _first(row):
            return
        copied = ["principal", "tenant", "task", *(name for name in ("upstream", "tool") if name not in said)]
        if still := [name for name in copied if getattr(row, name) != ""]:
            self._found(f"run {row.run}", f"its row has {', '.join(still)}, erased with payload {index}")

    def _decided(self, index: int, said: Document) -> None:
        decision = said.get("decision")
        if decision is not None and decision.get("bundle") not in self._bundles:
            self._found(f"bundle {decision.get('bundle')}", f"leaf {index} was decided by it, it is not stored")

    def _payload(self, payload: Payload, said: Document, row: RunRow | None) -> None:
        where = f"payload {payload.leaf}"
        try:
            values = seal.unseal(self._sealing or b"", said.get("id", ""), payload.salt, payload.sealed)
        except seal.Unsealable as error:
            self._found(where, str(error))
            return
        self.counts["opened"] += 1
        commitments = said.get("commit", {})
        for name in sorted(values.keys() | commitments.keys()):
            if name not in values or not seal.opens(commitments.get(name), *values[name]):
                self._found(where, f"{name} is not what leaf {payload.leaf} commits to")
        if row is not None and said.get("kind") in BEGINNINGS:
            self._differs(payload.leaf, row, _private(values, said, row))

    def _strays(self) -> None:
        """Rows that no leaf speaks of; asked only when the numbers do not agree."""
        for row in self._reader.all_runs():
            for name, index in (("asked", row.asked), ("intent", row.intent), ("settled", row.settled)):
                said = {} if index is None else self._document(index, self._reader.leaf(index) or b"{}")
                if index is not None and (said.get("run") != row.run or said.get("kind") not in OF_RUNS):
                    self._found(f"run {row.run}", f"no leaf records its {name}")
            if _first(row) is None:
                self._found(f"run {row.run}", "no leaf records it")


def _first(row: RunRow) -> int | None:
    """The leaf that began the run, from whose payload its row is a copy."""
    return next((leaf for leaf in (row.asked, row.intent, row.settled) if leaf is not None), None)


def _went_on(row: RunRow) -> tuple[int | None, int | None, int | None, str, str]:
    return (row.intent, row.settled, row.ended, row.ending, row.code)


def _named(said: Document, row: RunRow) -> list[str]:
    wrong = []
    if said.get("upstream", row.upstream) != row.upstream:
        wrong.append("upstream")
    if said.get("tool", row.tool) != row.tool:
        wrong.append("tool")
    return wrong


def _ending(index: int, said: Document, row: RunRow, state: str, ending: str) -> list[str]:
    is_there = (row.settled, row.state, row.ending, row.code, row.ended and _time(row.ended))
    expected = (index, state, ending, said.get("code", ""), said.get("ts"))
    if is_there == expected:
        return []
    names = ("settled", "state", "ending", "code", "ended")
    return [name for name, one, other in zip(names, is_there, expected, strict=True) if one != other]


def _time(at: int) -> str:
    try:
        return leaf.timestamp(at)
    except OverflowError:  # a row may hold any number
        return ""


def _private(values: Mapping[str, tuple[bytes, bytes]], said: Document, row: RunRow) -> list[str]:
    """What of the row is a copy of sealed values, and differs from them."""
    principal = _object(values.get("principal"))
    call = _object(values.get("call"))
    expected = {"principal": principal.get("id"), "tenant": principal.get("tenant"), "task": call.get("task")}
    if "tool" not in said:  # no pin was found: the row has the client's own words
        expected |= {"upstream": _addressed(call), "tool": call.get("name")}
    return [name for name, value in expected.items() if value is not None and value != getattr(row, name)]


def _addressed(call: Document) -> object:
    """The upstream of an address that names one; of the others, what the tool's name begins with."""
    endpoint, name = call.get("endpoint"), call.get("name")
    if not isinstance(endpoint, str) or not isinstance(name, str):
        return None
    qualified = endpoint == "" or endpoint.startswith("view/")
    return name.partition("__")[0] if qualified else endpoint


def _object(value: tuple[bytes, bytes] | None) -> Mapping[str, Any]:
    try:
        found = orjson.loads(value[1]) if value is not None else {}
    except orjson.JSONDecodeError:
        found = {}
    return found if isinstance(found, dict) else {}
