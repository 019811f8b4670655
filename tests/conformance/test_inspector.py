"""The inspector, a client that is not ours and not on our SDK, finds through the gateway what it finds without it."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.commands import ran
from tests.conformance import suite
from tests.conformance.running import NAME, fixture, governed
from tests.serving import serving

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

INSPECTOR = suite.INSTALLED / "@modelcontextprotocol" / "inspector" / "clients" / "launcher" / "build" / "index.js"
TOLD, TOOL_ERROR = 0, 5
ASKED = [
    (["tools/list"], TOLD),
    (["tools/call", "--tool-name", "test_simple_text"], TOLD),
    (["tools/call", "--tool-name", "test_header", "--tool-arg", "region=north"], TOLD),
    (["tools/call", "--tool-name", "test_error_handling"], TOOL_ERROR),
    (["resources/list"], TOLD),
    (["resources/templates/list"], TOLD),
    (["resources/read", "--uri", "test://static-text"], TOLD),
    (["prompts/list"], TOLD),
    (["prompts/get", "--prompt-name", "test_prompt_with_arguments", "--prompt-args", "arg1=a", "arg2=b"], TOLD),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def addresses(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[str, str]]:
    """The fixture server's own address, and the gateway's before it."""
    async with fixture() as url, serving(governed(tmp_path_factory.mktemp("inspector") / "gateway", url)) as served:
        yield url, served.url(NAME)


async def told(url: str, era: str, words: list[str], folder: Path) -> tuple[int, Any]:
    """How the inspector ended, and what it printed but for what each hop says of itself."""
    config = folder / "servers.json"
    server = {"type": "streamable-http", "url": url, "protocolEra": era}
    config.write_text(json.dumps({"mcpServers": {NAME: server}}))
    command = [str(suite.node()), str(INSPECTOR), "--cli", "--config", str(config), "--server", NAME]
    ended = await ran([*command, "--method", *words, "--format", "json"])
    assert ended.out, ended.err
    result = json.loads(ended.out)["result"]
    for key in ("_meta", "ttlMs", "cacheScope"):
        result.pop(key, None)
    return ended.code, {key: named(value) for key, value in result.items()}


def named(value: Any) -> Any:
    """A list of things with names, by name: the gateway has an order of its own."""
    listed = isinstance(value, list) and all(isinstance(each, dict) and "name" in each for each in value)
    return {each["name"]: each for each in value} if listed else value


@pytest.mark.parametrize("era", ["legacy", "modern"])
@pytest.mark.parametrize(("words", "code"), ASKED, ids=[" ".join(words) for words, _ in ASKED])
async def test_the_inspector_finds_the_same_through_the_gateway(
    addresses: tuple[str, str], era: str, words: list[str], code: int, tmp_path: Path
) -> None:
    assert INSPECTOR.exists(), suite.missing()
    direct, governed_url = addresses
    expected = await told(direct, era, words, tmp_path)
    assert expected[0] == code
    assert await told(governed_url, era, words, tmp_path) == expected
