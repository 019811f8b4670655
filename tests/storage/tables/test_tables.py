"""Each kind of write has a statement, and each statement fits the tables that the migrations make."""

import sqlite3
from typing import get_args

import pytest

from gateway.storage.sqlite import MIGRATIONS
from gateway.storage.tables import WRITES
from gateway.writes import Write


def test_every_kind_of_write_is_known() -> None:
    assert set(WRITES) == set(get_args(Write))


@pytest.mark.parametrize("kind", WRITES, ids=lambda kind: kind.__name__)
def test_every_statement_fits_the_tables(kind: type) -> None:
    connection = sqlite3.connect(":memory:")
    for script in MIGRATIONS:
        connection.executescript(script.read_text())
    marks = WRITES[kind].sql.count("?")
    assert connection.execute(f"EXPLAIN {WRITES[kind].sql}", (0,) * marks).fetchone()
    connection.close()
