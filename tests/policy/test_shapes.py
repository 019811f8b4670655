"""What kinds of value two expressions could share."""

import pytest

from gateway.policy.shapes import ANYTHING, NOTHING, Shape, array, either, meet, object_

TEXT, NUMBER = Shape("s"), Shape("n")


@pytest.mark.parametrize(
    ("one", "other", "meets"),
    [
        (TEXT, TEXT, True),
        (TEXT, NUMBER, False),
        (Shape("sn"), NUMBER, True),
        (ANYTHING, NUMBER, True),
        (array([TEXT]), array([TEXT]), True),
        (array([TEXT]), array([NUMBER]), False),
        (array([TEXT]), array([TEXT, TEXT]), False),
        (array([]), array([]), True),
        (array([]), Shape("a", TEXT), True),
        (array([TEXT, NUMBER]), Shape("a", TEXT), False),
        (Shape("a", TEXT), Shape("a", NUMBER), False),
        (Shape("t", TEXT), Shape("t", NUMBER), False),
        (Shape("t", TEXT), Shape("t"), True),
        (Shape("ta", TEXT), Shape("t", NUMBER), False),
        (object_([("a", TEXT)]), object_([("a", TEXT)]), True),
        (object_([("a", TEXT)]), object_([("b", TEXT)]), False),
        (object_([("a", TEXT)]), object_([("a", NUMBER)]), False),
        (object_([(None, TEXT)]), object_([("a", TEXT)]), True),
        (object_([(None, TEXT)]), object_([("a", NUMBER)]), False),
        (object_([("a", TEXT)]), Shape("o", NUMBER), False),
        (object_([]), object_([("a", TEXT)]), False),
    ],
)
def test_two_shapes_meet_where_a_value_could_have_both(one: Shape, other: Shape, meets: bool) -> None:
    assert meet(one, other) is meets
    assert meet(other, one) is meets


def test_what_is_inside_is_told_by_key_or_of_all() -> None:
    assert array([TEXT, NUMBER]).at(1) == NUMBER
    assert array([TEXT]).at(1) == NOTHING
    assert object_([("a", TEXT)]).at("a") == TEXT
    assert object_([("a", TEXT)]).at("b") == NOTHING
    assert Shape("o", TEXT).at("any") == TEXT
    assert Shape("t").element() == ANYTHING
    assert array([TEXT, NUMBER]).element().words() == "a number or text"


def test_one_of_several_shapes() -> None:
    assert either([]) is None
    assert either([TEXT, TEXT]) == TEXT
    assert either([TEXT, NUMBER]) == Shape("ns", options=(TEXT, NUMBER))
    assert either([TEXT, ANYTHING]) == ANYTHING


def test_shapes_are_told_in_words() -> None:
    assert Shape("sn").words() == "text or a number"
    assert ANYTHING.words() == "anything"
