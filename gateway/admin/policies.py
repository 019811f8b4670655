"""Operator actions on policies: tried, checked, put in force, asked again."""

import base64
from pathlib import Path

from gateway import subscriptions
from gateway.admin import recorded
from gateway.admin.opening import Opener
from gateway.admin.records import leaf
from gateway.audit import keys, records
from gateway.errors import ConfigError
from gateway.model import JsonObject, Point
from gateway.parts import Gateway
from gateway.policy import Pdp, canaries
from gateway.policy.evaluation import evaluate_again
from gateway.writes import BundleStored


async def policy_test(
    gw: Gateway, *, operator: str, directory: str | None = None, coverage: bool = False
) -> JsonObject:
    """Run the `test_*` rules of a folder of policies."""
    from gateway.policy import folder, testing  # noqa: PLC0415 - only for this command

    return testing.run_tests(folder.load(Path(directory or gw.settings.policy.bundle)), coverage=coverage).told()


async def policy_check(gw: Gateway, *, operator: str, directory: str | None = None) -> JsonObject:
    """What is wrong with a folder of policies, and what is likely to be."""
    from gateway.executors import process  # noqa: PLC0415 - only for this command
    from gateway.policy import checking  # noqa: PLC0415 - only for this command

    findings = await checking.check(Path(directory or gw.settings.policy.bundle), process.run)
    return {"findings": [finding.told() for finding in findings]}


async def policy_build(
    gw: Gateway, *, operator: str, directory: str | None = None, data: dict[str, str] | None = None
) -> JsonObject:
    """A folder of policies as the tarball an OPA server loads, and the revision its answers then have to name.

    Without a folder, what is configured; `data` are the files of live data by their names.
    """
    from gateway.policy import opabundle  # noqa: PLC0415 - only for this command

    if directory is None:
        policy = gw.settings.policy
        directory, data = str(policy.bundle), {one.name: str(one.file) for one in policy.data}
    built = opabundle.build(Path(directory), {name: Path(file) for name, file in (data or {}).items()})
    return {"revision": built.revision, "tarball": base64.b64encode(built.content).decode()}


async def policy_reload(gw: Gateway, *, operator: str) -> JsonObject:
    """Load the policies again; on any error the old ones stay in force."""
    return await put_in_force(await sound(gw.load_policy()), gw, operator)


async def sound(pdp: Pdp) -> Pdp:
    """The engine, once it has answered the canaries.

    Raises:
        ConfigError: it must not decide anything.
    """
    await canaries.prove(pdp)
    return pdp


async def put_in_force(pdp: Pdp, gw: Gateway, operator: str) -> JsonObject:
    """Record the swap with the bundle's bytes, then let the new policy decide."""
    before, bundle = gw.pdp, pdp.bundle
    swap = {"bundle": bundle.digest, "was": before.bundle.digest, "engine": pdp.engine}
    record = records.event("policy.swapped", swap, sealed={"operator": operator})
    await gw.log.append([record], [BundleStored(bundle.digest, bundle.content)])
    # Point of no return: the bytes are stored under their digest, so decisions may name it.
    gw.pdp = pdp
    subscriptions.touched(gw)
    await before.close()
    return swap


async def policy_eval(
    gw: Gateway,
    *,
    operator: str,
    record: str | None = None,
    input: JsonObject | None = None,  # noqa: A002 - its name
) -> JsonObject:
    """Decide again: a recorded decision with the policy as it was then, or an input with the policy of now."""
    if input is not None:
        if input.get("point") not in set(Point):
            raise ConfigError(f"the input's point is none of {', '.join(Point)}")
        point = Point(input["point"])
        return {"point": point, "now": await gw.pdp.evaluate(point, input)}
    found = leaf(record or "", gw.archive.reader)
    opener = Opener(gw.archive.reader, keys.sealing_key(gw.archive.settings.state))
    one = recorded.decision(found["index"], found["leaf"], opener)
    if one is None or one.input is None:
        raise ConfigError("payload not kept" if one else "this record holds no decision")
    said = found["leaf"]["decision"]
    content = gw.archive.reader.bundle(said["bundle"])
    if content is None:
        raise ConfigError(f"the bundle {said['bundle']} is not kept")
    again = await evaluate_again(content, one.input)
    return {"index": found["index"], "recorded": said, "again": again, "same": again["effect"] == said["effect"]}
