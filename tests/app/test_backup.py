from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

from sqlalchemy import text

from app.backup import back_up_database
from app.db import Database, Upload
from app.settings import Settings
from tests import factories


def test_a_backup_is_a_database_that_can_be_served(database: Database, tmp_path: Path) -> None:
    upload = factories.upload(database, name="犬と猫")
    home = tmp_path / "restored"
    home.mkdir()

    back_up_database(database, home / "trainyard.sqlite3")

    restored = Database.open(Settings(home=home))
    with restored.read() as session:
        assert session.get_one(Upload, upload.id).name == "犬と猫"
    restored.close()
    assert [path.name for path in home.iterdir() if path.suffix == ".part"] == []


def test_a_backup_in_mid_write_holds_whole_transactions_only(database: Database, tmp_path: Path) -> None:
    """Every transaction adds a pair; a copy with an odd number has torn one apart."""
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            with database.write() as session:
                for _ in range(2):
                    session.execute(text("INSERT INTO sign_in_attempts (key, at) VALUES ('pair', '2026-01-01')"))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        counts = []
        for number in range(5):
            target = tmp_path / f"{number}.sqlite3"
            back_up_database(database, target)
            copy = sqlite3.connect(target)
            counts.append(copy.execute("SELECT count(*) FROM sign_in_attempts").fetchone()[0])
            assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            copy.close()
    finally:
        stop.set()
        writer.join()
    assert all(count % 2 == 0 for count in counts), counts
    assert counts[-1] > 0
