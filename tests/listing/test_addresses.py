"""Addresses, and which upstream a name means there."""

import re
from pathlib import Path

import pytest

from gateway import config
from gateway.kinds import Kind
from gateway.listing.addresses import parted, search_of, upstream_of
from gateway.model import Endpoint
from tests.listing.servers import Server, called, several
from tests.path import DataPath

PAGE = Path(__file__).resolve().parents[2] / "docs" / "many-upstreams.md"
ALL = Endpoint("", ("a", "b"), qualified=True)
ONE = Endpoint("a", ("a",), qualified=False)


async def test_every_address_is_an_upstream_a_view_or_all_of_them(path: DataPath) -> None:
    many = several(path, {"a": Server(), "b": Server()}, views={"v": ["b"], "w": {"upstreams": ["b", "a"]}})
    assert many.at() == ALL
    assert many.at("a") == ONE
    assert many.at(view="v") == Endpoint("view/v", ("b",), qualified=True)
    assert many.at(view="w") == Endpoint("view/w", ("b", "a"), qualified=True)


@pytest.mark.parametrize(
    ("endpoint", "name", "upstream", "own"),
    [
        (ONE, "b__read", "a", "b__read"),
        (ALL, "b__read", "b", "read"),
        (ALL, "b__read__all", "b", "read__all"),
        (ALL, "read", "read", ""),
        (ALL, "__read", "", "read"),
        (ALL, "", "", ""),
    ],
)
def test_a_name_says_its_upstream_where_there_are_several(
    endpoint: Endpoint, name: str, upstream: str, own: str
) -> None:
    assert parted(endpoint, name) == (upstream, own)
    assert upstream_of(called(Kind.TOOL, name, endpoint)) == upstream


async def test_tools_are_found_by_words_only_at_the_view_that_says_so(path: DataPath) -> None:
    views = {"v": {"upstreams": ["a"], "search": "also"}, "w": {"upstreams": ["a"], "search": "only"}, "x": ["a"]}
    many = several(path, {"a": Server()}, views=views)
    found = [search_of(many.at(view=view), many.gw) for view in views]
    assert found == ["also", "only", None]
    assert [search_of(many.at(name), many.gw) for name in (None, "a")] == [None, None]
    assert search_of(Endpoint("view/gone", (), qualified=True), many.gw) is None


def test_the_example_of_the_page_about_several_loads() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    read = config.parse(example, PAGE.with_name("bascule.yaml"), {})
    assert [view.search for view in read.views.values()] == [None, "only"]
