"""Parts that many tests put together: a whole data path with a scripted executor."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.path import DataPath, data_path


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[DataPath]:
    """The real parts on a real log, with an executor that the test scripts."""
    async with data_path(tmp_path) as made:
        yield made
