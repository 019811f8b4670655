"""The contract, and that the driver keeps it."""

from pathlib import Path

from gateway.storage.database import Database, Reader
from gateway.storage.sqlite import SqliteDatabase


def test_the_sqlite_driver_is_a_database(tmp_path: Path) -> None:
    database: Database = SqliteDatabase(tmp_path / "bascule.db")
    reader: Reader = database.reader()
    assert reader.count() == 0
    reader.close()
    database.close()
