"""Sets of rules that allow nothing: what they leave open."""

import pytest

from tests.path import DataPath
from tests.test_pipeline import told

SETS = {
    "only denials, of something else": 'package bascule.call\ndeny contains "x" if input.tool.name == "other"\n',
    "only rules of lists": 'package bascule.list\nhide contains "other" if input.principal.id == "nobody"\n',
    "no rule at all": "package bascule.call\n",
}


@pytest.mark.parametrize("rules", SETS)
async def test_where_no_rule_allows_nothing_runs(path: DataPath, rules: str) -> None:
    path.use(SETS[rules])
    assert told(await path.write())["code"] == "NO_RULE"
    assert path.executor.calls == []
