"""The sealed values of many records."""

import pytest

from gateway.admin.opening import Opener
from gateway.errors import ConfigError
from tests.path import DataPath


async def test_what_is_sealed_is_opened_by_name_with_the_right_key_only(path: DataPath) -> None:
    await path.write()
    reader = path.gw.archive.reader
    index, leaf = next((index, leaf) for index, leaf in enumerate(path.leaves()) if leaf["kind"] == "call.intent")
    opened = Opener(reader, path.sealing).opened(index, leaf)
    assert opened is not None
    assert opened["args"] == b'{"path":"notes/a.md","text":"hello"}'
    assert Opener(reader, None).opened(index, leaf) is None
    assert Opener(reader, path.sealing).opened(999, leaf) is None
    with pytest.raises(ConfigError, match=f"the payload of record {index} does not open"):
        Opener(reader, bytes(32)).opened(index, leaf)
