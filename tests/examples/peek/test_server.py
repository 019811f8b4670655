"""The peek server reads anything: whoever starts it has to bound it."""

from pathlib import Path

from mcp import Client

from examples.peek.server import server


async def test_it_reads_whatever_file_is_there_and_says_which_is_not(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("kept")
    async with Client(server()) as client:
        read = await client.call_tool("read_file", {"path": str(tmp_path / "a")})
        missing = await client.call_tool("read_file", {"path": str(tmp_path / "b")})
    assert "kept" in read.model_dump_json()
    assert not read.is_error
    assert missing.is_error
    assert "No such file" in missing.model_dump_json()
