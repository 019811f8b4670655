"""A replay as an operator runs it, beside a gateway that serves a real client and a real upstream."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.approvals import signing
from gateway.transports.control import ask
from tests.agreeing import APPROVE, PASSPHRASE, Person
from tests.attacks.clients import Client, client
from tests.attacks.upstreams import upstream
from tests.commands import bascule
from tests.serving import PATIENCE, Folder, serving

ANN = Person.enrolled("ann")
NAMED = "the quarter's notes"
TASK = f"named:agent:{NAMED}"
POLICY = """package bascule.call

allow contains "notes" if startswith(input.args.path, "notes/")

allow contains "drafts" if startswith(input.args.path, "drafts/")

require_approval contains {"reason": "it is sent", "from": ["ops"]} if startswith(input.args.path, "sent/")
"""


class Digests(Folder):
    """One whose log keeps nothing readable."""

    def write(self) -> None:
        super().write()
        self.config.write_text(self.config.read_text().replace("audit: {", "audit: {payloads: digest, "))


async def called(talking: Client, path: str) -> Any:
    return await talking.call("write_note", {"path": path, "text": "x"}, **{"bascule/task": NAMED})


async def asked(folder: Folder, action: str, **given: Any) -> Any:
    return await asyncio.to_thread(ask, folder.state, action, **given)


async def granted(folder: Folder) -> None:
    """Ann agrees to what waits, once it does."""
    async with asyncio.timeout(PATIENCE):
        while not (waiting := (await asked(folder, "approvals_list"))["approvals"]):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)
    (approval,) = [one["approval"] for one in waiting]
    shown = await asked(folder, "approvals_show", approval=approval)
    said = {name: shown[name] for name in ("origin", "digest", "expires")}
    statement = signing.statement(approval=approval, verdict="grant", reason="", **said)
    signature = signing.sign(ANN.pem, PASSPHRASE, statement)
    await asked(folder, "approvals_answer", approval=approval, verdict="grant", approver=ANN.name, signature=signature)


async def worked(folder: Folder, talking: Client) -> None:
    """Allowed, denied, agreed to, and allowed under a policy that came later."""
    await called(talking, "notes/a")
    await called(talking, "drafts/a")
    await called(talking, "private/a")
    held = asyncio.ensure_future(called(talking, "sent/a"))
    await granted(folder)
    assert not (await held).get("isError")
    (folder.path / "policies" / "tests.rego").write_text(POLICY + "\n# later\n")
    await asked(folder, "policy_reload")
    await called(talking, "notes/b")


@pytest.mark.promise("replay", "decided-again")
async def test_a_task_is_decided_again_as_it_was_and_otherwise_only_where_another_policy_says_so(
    tmp_path: Path,
) -> None:
    async with upstream() as kept:
        folder = Folder(tmp_path / "gateway", {"kept": {"url": kept.url}}, POLICY)
        folder.more = f'approvers: {{ann: {{key: "{ANN.public}", roles: [ops]}}}}\n'
        folder.write()
        (folder.path / "policies" / "approve.rego").write_text(APPROVE)
        other = tmp_path / "other"
        other.mkdir()
        (other / "tests.rego").write_text(POLICY.replace('"drafts/"', '"plans/"'))
        (other / "approve.rego").write_text(APPROVE)
        async with serving(folder) as served, client(served.url("kept")) as talking:
            await worked(folder, talking)
            reached = (len(kept.effects), len(kept.bodies))
            assert reached[0] == 4
            size = (await asked(folder, "audit_tail"))["size"]

            same = await bascule(folder, "tasks", "replay", TASK, "--json")
            assert (same.code, same.told["changed"], same.told["undecided"], same.told["equal"]) == (0, 0, 0, 11), same
            assert len({step["bundle"] for step in same.told["steps"]}) == 2

            changed = await bascule(folder, "tasks", "replay", TASK, "--against", str(other), "--json")
            assert changed.code == 1
            (step,) = [one for one in changed.told["steps"] if one["verdict"] != "equal"]
            assert changed.told["steps"][0] == step
            assert (step["point"], step["recorded"]["reasons"], step["now"]["code"]) == ("call", ["drafts"], "NO_RULE")

            run = await bascule(folder, "runs", "replay", step["run"], "--against", str(other))
            assert (run.code, "allow\tdeny NO_RULE\tchanged" in run.out) == (1, True), run.out
            past = await bascule(folder, "policy", "replay", "--against", str(other), "--json")
            assert (past.code, [one["index"] for one in past.told["steps"]]) == (1, [step["index"]])

            shown = await bascule(folder, "tasks", "show", TASK, "--json")
            assert shown.told["endings"] == {"done": 4, "refused": 1}
            agreed = [one["run"] for one in shown.told["runs"]][3]
            told = await bascule(folder, "runs", "show", agreed)
            assert "ann: grant" in told.out, told.out
            assert (await bascule(folder, "runs", "replay", "no-such-run")).code == 2

            assert (len(kept.effects), len(kept.bodies)) == reached
            assert (await asked(folder, "audit_tail"))["size"] == size
        assert (await bascule(folder, "tasks", "replay", TASK)).code == 0  # as well where nobody serves


@pytest.mark.promise("replay")
async def test_where_only_digests_are_kept_nothing_can_be_decided_again(tmp_path: Path) -> None:
    async with upstream() as kept:
        folder = Digests(tmp_path / "gateway", {"kept": {"url": kept.url}}, POLICY)
        async with serving(folder) as served, client(served.url("kept")) as talking:
            await called(talking, "notes/a")
            ended = await bascule(folder, "tasks", "replay", TASK)
            assert ended.code == 1
            assert "payload not kept: 2 decision(s) could not be made again" in ended.out
