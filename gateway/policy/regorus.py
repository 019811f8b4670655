"""The engine in process: regorus' interpreter. No server, no timer, one thread.

It panics on some inputs and when another thread touches it; the guard in `decide` turns that into a
refusal, and the engine is built anew here before it answers again.
"""

import logging
import os
import threading
from collections import OrderedDict
from importlib.metadata import version
from time import thread_time_ns

import orjson
from regorus import Engine

from gateway.model import JsonObject, Point
from gateway.policy import reads, syntax
from gateway.policy.bundle import Bundle, compiled

LONGEST_NS = {point: 1_000_000_000 if point is Point.LIST else 50_000_000 for point in Point}
"""An evaluation that took longer is refused after the fact: nothing can stop it before.
`list` sees thousands of tools at once, is asked rarely and decides nothing that `call` does not."""
KEPT = 1_024
KEPT_BYTES = 2_048
"""Answers kept, and the longest input worth keeping one for."""

# What is undefined is an error inside of the engine, and quite usual; where a shell asks for backtraces of Rust
# programs, each of them would walk the stack first: a twentieth of all that a call costs.
os.environ.setdefault("RUST_LIB_BACKTRACE", "0")

_QUERIES = {point: f"data.bascule.{point}.decision" for point in Point}
_log = logging.getLogger(__name__)


class EvaluationError(Exception):
    """The engine gave no answer that may be used."""


class Regorus:
    """A `Pdp` that evaluates where it is called; belongs to the thread that made it."""

    engine = f"regorus/{version('gordon-to-regorus')}"

    def __init__(self, bundle: Bundle, *, value_bytes: int = 65_536) -> None:
        self.value_bytes = value_bytes
        self.slow = 0
        """Evaluations that took too long since the start."""
        self._thread = threading.get_ident()
        self._sound = True
        self.reload(bundle)

    def reload(self, bundle: Bundle) -> None:
        engine = compiled(bundle)
        wanted = reads.of_points(syntax.modules(engine.get_ast_as_json()))
        self.bundle: Bundle = bundle
        self._engine: Engine = engine
        self._wanted = wanted
        self._kept: OrderedDict[tuple[Point, bytes], JsonObject] = OrderedDict()

    async def evaluate(self, point: Point, document: JsonObject) -> JsonObject:
        """HOT."""
        projected = orjson.dumps(reads.project(document, self._wanted[point]))
        key = (point, projected)
        answer = self._kept.get(key)
        if answer is None:
            answer = self._evaluate(point, projected)
            if len(projected) <= KEPT_BYTES:
                if len(self._kept) >= KEPT:
                    self._kept.popitem(last=False)
                self._kept[key] = answer
        return answer

    def _evaluate(self, point: Point, projected: bytes) -> JsonObject:
        if threading.get_ident() != self._thread:
            raise EvaluationError("the engine was asked from a thread that is not its own")
        if not self._sound:
            self._engine = compiled(self.bundle)
        self._sound = False
        started = thread_time_ns()  # its own: a machine that is busy with something else makes no policy slow
        self._engine.set_input_json(projected.decode())
        answer = self._engine.eval_rule_as_json(_QUERIES[point])
        took = thread_time_ns() - started
        self._sound = True
        if took > LONGEST_NS[point]:
            self.slow += 1
            _log.error(
                "policy: %s took %d ms, its answer is not used (slow since start: %d)", point, took // 10**6, self.slow
            )
            raise EvaluationError(f"the evaluation took {took // 10**6} ms")
        found: JsonObject = orjson.loads(answer)
        return found

    async def close(self) -> None:
        """Nothing is held but memory."""
