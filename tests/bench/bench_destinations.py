"""How long does a check take, in the process that does it?"""

from __future__ import annotations

import statistics
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import jsonschema_rs
import sqlglot

from sandbox_runtime.destinations import json_text, registry
from sandbox_runtime.destinations.sql.dialects import SQLITE
from tests.corpora.corpora import corpus
from tests.corpora.spider import grant

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sandbox_runtime.strict import Json

Measure = dict[str, Any]

_SCHEMA: Final[dict[str, Json]] = {
    "type": "object",
    "required": ["id", "lines"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "integer", "minimum": 1},
        "note": {"type": "string", "maxLength": 500},
        "lines": {
            "type": "array",
            "maxItems": 50,
            "items": {
                "type": "object",
                "required": ["sku", "count"],
                "properties": {
                    "sku": {"type": "string", "pattern": "^[A-Z0-9-]+$"},
                    "count": {"type": "integer", "maximum": 100},
                },
            },
        },
    },
}
_ROUNDS: Final = 2000


def run() -> list[Measure]:
    """Return what was measured."""
    return [*_sql(), *_schema(), _model_text()]


def _sql() -> list[Measure]:
    databases = {entry["db_id"]: entry for entry in corpus("sql/spider_dev_tables.json")}
    settings = {name: grant(entry) for name, entry in databases.items()}
    questions = [
        (each["sql"], settings[each["db"]]) for each in corpus("sql/spider_dev_benign.json")
    ]
    gate = _quantiles(_times([partial(registry.check, "sql", *each) for each in questions]), 1e3)
    parses = [partial(sqlglot.parse, text, read=SQLITE.reader) for text, _ in questions]
    raw = _quantiles(_times(parses), 1e3)
    return [
        _measure("SQL gate, Spider, p50", gate[0], "ms", aim=1.5, peers={"sqlglot parse": raw[0]}),
        _measure("SQL gate, Spider, p99", gate[1], "ms", peers={"sqlglot parse": raw[1]}),
    ]


def _schema() -> list[Measure]:
    lines: list[Json] = [{"sku": f"AB-{number:05}", "count": number} for number in range(24)]
    value: Json = {"id": 7, "note": "x" * 200, "lines": lines}
    raw = jsonschema_rs.Draft202012Validator(_SCHEMA)
    checked = _times([lambda: registry.check("schema", value, _SCHEMA)] * _ROUNDS)
    bare = _times([lambda: raw.validate(value)] * _ROUNDS)
    name = f"schema check, {len(json_text.canonical(value))} bytes"
    ours, theirs = _quantiles(checked, 1e6), _quantiles(bare, 1e6)
    return [
        _measure(f"{name}, p50", ours[0], "µs", aim=20, peers={"jsonschema_rs": theirs[0]}),
        _measure(f"{name}, p99", ours[1], "µs", peers={"jsonschema_rs": theirs[1]}),
    ]


def _model_text() -> Measure:
    value: Json = [{"month": f"2026-{number % 12:02}", "total": 1.5} for number in range(300)]
    times = _times([lambda: registry.check("model_text", value, {})] * 200)
    size = len(json_text.canonical(value))
    return _measure(f"model text, {size} bytes of rows, p50", _quantiles(times, 1e3)[0], "ms")


def _times(tasks: Sequence[Callable[[], object]]) -> list[float]:
    """Return the seconds that each task took, in the quietest of three rounds."""
    return min((_round(tasks) for _ in range(3)), key=statistics.median)


def _round(tasks: Sequence[Callable[[], object]]) -> list[float]:
    times = []
    for task in tasks:
        started = time.perf_counter()
        task()
        times.append(time.perf_counter() - started)
    return times


def _quantiles(times: list[float], scale: float) -> tuple[float, float]:
    """Return the median and the 99th percentile."""
    return statistics.median(times) * scale, statistics.quantiles(times, n=100)[98] * scale


def _measure(
    name: str,
    value: float,
    unit: str,
    *,
    aim: float | None = None,
    peers: dict[str, float] | None = None,
) -> Measure:
    return {
        "name": name,
        "value": round(value, 3),
        "unit": unit,
        "aim": None if aim is None else f"≤ {aim:g} {unit}",
        "met": None if aim is None else value <= aim,
        "peers": {peer: round(number, 3) for peer, number in (peers or {}).items()},
    }
