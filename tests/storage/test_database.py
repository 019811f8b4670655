"""The contract, and that the driver keeps it."""

from pathlib import Path

from gateway.model import RunState
from gateway.storage.database import EXPECTED, Database, Reader
from gateway.storage.sqlite import SqliteDatabase


def test_every_state_that_a_run_can_go_to_says_where_from() -> None:
    assert EXPECTED.keys() == set(RunState) - {RunState.INTENDED}
    assert all(RunState.ENDED not in states for states in EXPECTED.values())


def test_the_sqlite_driver_is_a_database(tmp_path: Path) -> None:
    database: Database = SqliteDatabase(tmp_path / "bascule.db")
    reader: Reader = database.reader()
    assert reader.count() == 0
    reader.close()
    database.close()
