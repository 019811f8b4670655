"""The engine in process: its answers, its one thread, what it keeps, and how it comes back after a panic."""

import asyncio
import threading
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.model import JsonObject, Point
from gateway.policy import Pdp, regorus
from gateway.policy.bundle import Bundle
from gateway.policy.regorus import EvaluationError, Regorus
from tests.policy import questions
from tests.policy.folders import CALL

NOTES = CALL + 'allow contains "notes" if startswith(input.args.path, "notes/")\n'
REDEFINED = CALL + 'allow contains "x" if\n'


@pytest.fixture
def pdp(tmp_path: Path) -> Regorus:
    return Regorus(questions.loaded(tmp_path, NOTES))


class Counted:
    """An engine in which every evaluation is counted."""

    def __init__(self, engine: object) -> None:
        self.engine = engine
        self.count = 0

    def set_input_json(self, text: str) -> None:
        self.engine.set_input_json(text)  # type: ignore[attr-defined]

    def eval_rule_as_json(self, query: str) -> object:
        self.count += 1
        return self.engine.eval_rule_as_json(query)  # type: ignore[attr-defined]


def counted(pdp: Regorus) -> Counted:
    made = Counted(pdp._engine)
    pdp._engine = made
    return made


async def test_it_is_a_pdp_that_names_its_engine_with_its_version(pdp: Regorus) -> None:
    made: Pdp = pdp
    assert made.engine.startswith("regorus/0.13")
    assert made.value_bytes == 65_536
    await made.close()


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("notes/a", {"effect": "allow", "reasons": ["notes"], "obligations": []}),
        (
            "private",
            {"effect": "deny", "code": "NO_RULE", "reasons": ["no rule allows this call"], "obligations": []},
        ),
    ],
)
async def test_it_answers_by_the_entry_of_the_point(pdp: Regorus, path: str, answer: JsonObject) -> None:
    assert await pdp.evaluate(Point.CALL, questions.call(path)) == answer


async def test_each_point_has_its_own_entry(pdp: Regorus) -> None:
    document = {**questions.call("private"), "result": {"size": 1, "tool_error": False, "findings": []}}
    assert (await pdp.evaluate(Point.CALL, document))["effect"] == "deny"
    assert (await pdp.evaluate(Point.RESULT, document))["effect"] == "allow"


async def test_what_no_rule_reads_gives_the_kept_answer(pdp: Regorus) -> None:
    engine = counted(pdp)
    for writes in range(3):
        await pdp.evaluate(Point.CALL, questions.call("notes/a", writes=writes))
    assert engine.count == 1
    await pdp.evaluate(Point.CALL, questions.call("notes/b"))
    assert engine.count == 2


async def test_no_more_than_so_many_answers_are_kept(pdp: Regorus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regorus, "KEPT", 2)
    engine = counted(pdp)
    for path in ("a", "b", "c", "c", "a"):
        await pdp.evaluate(Point.CALL, questions.call(path))
    assert engine.count == 4
    assert len(pdp._kept) <= 2


async def test_the_answer_to_a_long_question_is_not_kept(pdp: Regorus) -> None:
    engine = counted(pdp)
    for _ in range(2):
        await pdp.evaluate(Point.CALL, questions.call("x" * regorus.KEPT_BYTES))
    assert engine.count == 2
    assert pdp._kept == {}


async def test_a_reload_answers_by_the_new_bundle_and_forgets_what_was_kept(pdp: Regorus, tmp_path: Path) -> None:
    assert (await pdp.evaluate(Point.CALL, questions.call("x")))["effect"] == "deny"
    bundle = questions.loaded(tmp_path / "new", questions.ALLOW_ALL)
    pdp.reload(bundle)
    assert (await pdp.evaluate(Point.CALL, questions.call("x")))["effect"] == "allow"
    assert pdp.bundle is bundle


@pytest.mark.parametrize("broken", [questions.unchecked("package"), questions.unchecked(REDEFINED)])
async def test_a_reload_that_fails_leaves_the_old_bundle(pdp: Regorus, broken: Bundle) -> None:
    before = pdp.bundle
    with pytest.raises(RuntimeError):
        pdp.reload(broken)
    assert pdp.bundle is before
    assert (await pdp.evaluate(Point.CALL, questions.call("notes/a")))["effect"] == "allow"


def test_a_bundle_that_loads_is_needed_to_begin_with(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        Regorus(questions.loaded(tmp_path, REDEFINED))
    with pytest.raises(RuntimeError):
        Regorus(questions.unchecked(REDEFINED))


@pytest.mark.promise("fail-closed")
async def test_after_a_panic_the_engine_is_built_anew_before_it_answers() -> None:
    pdp = Regorus(questions.unchecked(questions.PANICS))
    first = pdp._engine
    with pytest.raises(BaseException, match="window size must be non-zero") as panic:
        await pdp.evaluate(Point.CALL, questions.call(""))
    assert type(panic.value).__name__ == "PanicException"
    assert not isinstance(panic.value, Exception)
    assert (await pdp.evaluate(Point.CALL, questions.call("a")))["effect"] == "allow"
    second = pdp._engine
    assert second is not first
    await pdp.evaluate(Point.CALL, questions.call("b"))
    assert pdp._engine is second


async def test_after_an_error_of_a_builtin_the_engine_is_built_anew_as_well() -> None:
    pdp = Regorus(questions.unchecked(questions.ALLOW_ALL + '\ndeny contains "x" if to_number(input.args.path) > 5\n'))
    with pytest.raises(RuntimeError):
        await pdp.evaluate(Point.CALL, questions.call("three"))
    assert (await pdp.evaluate(Point.CALL, questions.call("7")))["effect"] == "deny"


async def test_an_error_is_not_kept_as_an_answer() -> None:
    pdp = Regorus(questions.unchecked(questions.PANICS))
    for _ in range(2):
        with pytest.raises(BaseException, match="window size"):
            await pdp.evaluate(Point.CALL, questions.call(""))
    assert pdp._kept == {}


@pytest.mark.promise("fail-closed")
async def test_an_evaluation_that_takes_too_long_is_not_used_not_kept_and_counted(
    pdp: Regorus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert regorus.LONGEST_NS[Point.CALL] == regorus.LONGEST_NS[Point.RESULT] == 50_000_000
    with monkeypatch.context() as patched:
        patched.setitem(regorus.LONGEST_NS, Point.CALL, 0)
        for slow in (1, 2):
            with pytest.raises(EvaluationError, match=r"the evaluation took \d+ ms"):
                await pdp.evaluate(Point.CALL, questions.call("notes/a"))
            assert pdp.slow == slow
            assert f"slow since start: {slow}" in caplog.text
    assert (await pdp.evaluate(Point.CALL, questions.call("notes/a")))["effect"] == "allow"
    assert pdp.slow == 2


async def test_another_thread_gets_no_answer_and_does_no_harm(pdp: Regorus) -> None:
    raised: list[BaseException] = []

    def ask() -> None:
        try:
            asyncio.run(pdp.evaluate(Point.CALL, questions.call("notes/a")))
        except BaseException as error:
            raised.append(error)

    other = threading.Thread(target=ask)
    other.start()
    other.join()
    (error,) = raised
    assert isinstance(error, EvaluationError)
    assert "not its own" in str(error)
    assert (await pdp.evaluate(Point.CALL, questions.call("notes/a")))["effect"] == "allow"
