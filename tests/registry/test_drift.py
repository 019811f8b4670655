"""The difference an operator reads."""

from gateway.registry.drift import difference


def test_the_difference_shows_what_changed_and_every_hidden_code_point() -> None:
    lines = difference({"name": "a", "d": "old"}, {"name": "a", "d": "new\u200b\x1b[2J"})
    assert '-  "d": "old",' in lines
    assert '+  "d": "new\\u200b\\u001b[2J",' in lines
    assert all(line.isascii() and line.isprintable() for line in lines)


def test_equal_definitions_do_not_differ() -> None:
    assert difference({"a": 1}, {"a": 1}) == ()
