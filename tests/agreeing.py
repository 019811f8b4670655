"""People who answer approvals in tests: enrolled, with keys of their own."""

from dataclasses import dataclass

from gateway import admin
from gateway.approvals import signing
from gateway.model import JsonObject
from gateway.parts import Gateway
from gateway.settings import ApproverSettings

OPERATOR = "os:tester"
PASSPHRASE = b"correct horse"
POLICY = """package bascule.call

allow contains "reads" if input.tool.name == "read_note"

require_approval contains {"reason": "a person should see this", "from": ["ops"]} if input.tool.name == "write_note"
"""
APPROVE = """package bascule.approve

allow contains "has the role" if {
	some role in input.approval.roles
	role in input.principal.roles
}
"""


@dataclass(frozen=True, slots=True)
class Person:
    """One approver, with the key that nobody else holds."""

    name: str
    pem: bytes
    public: str
    roles: tuple[str, ...]

    @classmethod
    def enrolled(cls, name: str, *roles: str) -> "Person":
        pem, public = signing.new_key(PASSPHRASE)
        return cls(name, pem, public, roles or ("ops",))

    async def answers(
        self, gw: Gateway, approval: str, verdict: str = "grant", over: JsonObject | None = None
    ) -> JsonObject:
        """Answer one request as the command line does; `over` is what the signature is made over instead."""
        shown = await admin.approvals_show(gw, operator=OPERATOR, approval=approval)
        said = {"approval": approval, "digest": shown["digest"], "verdict": verdict, "reason": ""}
        statement = signing.statement(origin=shown["origin"], expires=shown["expires"], **(said | (over or {})))
        signature = signing.sign(self.pem, PASSPHRASE, statement)
        return await admin.approvals_answer(
            gw, operator=OPERATOR, approval=approval, verdict=verdict, approver=self.name, signature=signature
        )


def enroll(gw: Gateway, *people: Person) -> None:
    """Let the gateway know them."""
    approvers = {one.name: ApproverSettings(key=one.public, roles=one.roles) for one in people}
    gw.settings = gw.settings.model_copy(update={"approvers": approvers})


async def waiting(gw: Gateway) -> str:
    """The id of the one request that waits."""
    (one,) = (await admin.approvals_list(gw, operator=OPERATOR))["approvals"]
    return str(one["approval"])
