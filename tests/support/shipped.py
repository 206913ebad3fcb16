"""The shipped manifests, served as a user serves them."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
COMMAND = Path(sys.executable).with_name("sandbox-broker")


@contextmanager
def serving(tmp_path: Path, **changes: object) -> Iterator[str]:
    """Serve the shipped manifests on a small database; yield the broker's address."""
    flights = tmp_path / "flights.db"
    with sqlite3.connect(flights) as database:
        columns = "year month day sched_dep_time dep_time dep_delay arr_delay carrier flight"
        names = [*columns.split(), "origin", "dest", "air_time", "distance"]
        database.execute(f"CREATE TABLE flights ({', '.join(names)})")
        insert = "INSERT INTO flights (month, dep_delay, origin) VALUES (?, ?, ?)"
        database.executemany(insert, [(1, 3, "JFK"), (1, 5, "JFK"), (1, 500, "LGA")])
    database.close()
    flights.chmod(0o644)
    settings = {
        "state_dir": str(tmp_path / "state"),
        "manifests": str(ROOT / "tool_manifests"),
        "listen": {"socket": str(tmp_path / "broker.sock")},
        "data": {"flights": str(flights)},
        "validators": {"first_uid": 64400},
        **changes,
    }
    (tmp_path / "broker.yaml").write_text(json.dumps(settings))
    with (
        (tmp_path / "broker.log").open("wb") as diagnostics,
        subprocess.Popen(  # noqa: S603 - our own command
            [COMMAND, "serve", "--config", tmp_path / "broker.yaml", "--json"],
            stdout=subprocess.PIPE,
            stderr=diagnostics,
            text=True,
        ) as broker,
    ):
        assert broker.stdout is not None
        try:
            said = broker.stdout.readline() + broker.stdout.readline()
            assert '"error"' not in said, (tmp_path / "broker.log").read_text()
            yield f"unix:{tmp_path / 'broker.sock'}"
        finally:
            broker.send_signal(signal.SIGTERM)
            assert broker.wait(30) == 0
