"""How the fixture server asks its client: by a request while it works in the older revisions, by a result since.

Not what asks. A modern client calls again with its answers, and the answers of earlier rounds come back in the state.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from mcp.server.mcpserver import Context
from mcp.shared.message import ServerMessageMetadata
from mcp.types import (
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequest,
    InputRequiredResult,
    InputResponse,
    ListRootsRequest,
    ListRootsResult,
    SamplingMessage,
    TextContent,
)

from tests.conformance.fixture_seen import note

MODERN = "2026-07-28"
Answers = Mapping[str, InputResponse]


def form(message: str, **fields: Mapping[str, Any]) -> ElicitRequest:
    """A form all of whose fields are wanted, unless they have a default."""
    required = [name for name, about in fields.items() if "default" not in about]
    schema: dict[str, Any] = {"type": "object", "properties": fields, "required": required}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def sampling(prompt: str, tokens: int) -> CreateMessageRequest:
    asked = SamplingMessage(role="user", content=TextContent(text=prompt))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[asked], max_tokens=tokens))


def accepted(answers: Answers, key: str) -> dict[str, Any]:
    """The fields of a form; none where it was declined."""
    answer = answers[key]
    return dict(answer.content or {}) if isinstance(answer, ElicitResult) else {}


async def asked(
    ctx: Context, requests: Mapping[str, InputRequest], *, before: Answers | None = None
) -> Answers | InputRequiredResult:
    """The client's answers, or what is to be returned so that it answers.

    With `before`, the answers of earlier rounds, a state goes with what is returned, and keeps them.
    """
    if ctx.protocol_version != MODERN:
        told = await asyncio.gather(*(_sent(ctx, request) for request in requests.values()))
        return dict(zip(requests, told, strict=True))
    known = _known(ctx, requests)
    if requests.keys() <= known.keys():
        return known
    state = None if before is None else json.dumps({key: _dumped(answer) for key, answer in before.items()})
    return InputRequiredResult(input_requests=dict(requests), request_state=state)


def _dumped(answer: InputResponse) -> Any:
    return answer.model_dump(mode="json", by_alias=True)


def _known(ctx: Context, requests: Mapping[str, InputRequest]) -> dict[str, InputResponse]:
    """What was answered, as far as it is of the right kind: in this round or in an earlier one."""
    told: dict[str, Any] = json.loads(ctx.request_state or "{}")
    kept = {key: _wanted(requests[key]).model_validate(told[key]) for key in requests.keys() & told.keys()}
    known: dict[str, InputResponse] = {**kept}
    for key, answer in (ctx.input_responses or {}).items():
        known |= {key: answer} if key in requests and isinstance(answer, _wanted(requests[key])) else {}
    return known


def _wanted(request: InputRequest) -> type[ElicitResult | CreateMessageResult | ListRootsResult]:
    match request:
        case ElicitRequest():
            return ElicitResult
        case CreateMessageRequest():
            return CreateMessageResult
        case ListRootsRequest():
            return ListRootsResult


async def _sent(ctx: Context, request: InputRequest) -> InputResponse:
    note("asked", request.method)
    during = ServerMessageMetadata(related_request_id=ctx.request_id)
    answer: InputResponse = await ctx.session.send_request(request, _wanted(request), metadata=during)
    return answer
