"""The SQL gate on statements that nobody on this project wrote. SQLite is the judge."""

from __future__ import annotations

import sqlite3
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from sandbox_runtime.destinations import registry
from sandbox_runtime.destinations.contract import Accepted, Objection
from tests.corpora.corpora import corpus
from tests.corpora.spider import filled, grant
from tests.destinations.sqlite_judge import GRANT, database, judge

if TYPE_CHECKING:
    from sandbox_runtime.strict import Json

CONTEXTS = {
    "in a string": "SELECT id, total FROM orders WHERE month = '{}'",
    "numeric": "SELECT id, total FROM orders WHERE id = {}",
    "raw": "{}",
}

ALSO_RIGHT = {"filter survives or": "it names a column that is not granted"}
"""Cases whose file says that a refusal is right too."""

NOT_SQLITE = {"dollar quoted literal"}
"""Honest cases that are no SQLite: `$$` quotes nothing there."""

MOST_STEPS = 200_000
"""Virtual machine steps, in thousands, after which a statement is stopped."""


def decide(statement: str, settings: Json) -> Accepted | Objection:
    """Return either answer."""
    try:
        return registry.check("sql", statement, settings)
    except Objection as objection:
        return objection


def _must_have() -> list[dict[str, str]]:
    cases: list[dict[str, str]] = corpus("sql/must_have.json")["cases"]
    return cases


def test_every_case_that_must_be_decided_is_decided_so() -> None:
    """Cases of other dialects are decided too: here they are texts sent to SQLite."""
    decided: Counter[str] = Counter()
    for case in _must_have():
        answer = decide(case["sql"], GRANT)
        verdict = "deny" if isinstance(answer, Objection) else "rewrite"
        is_right = verdict == case["verdict"] or case["name"] in ALSO_RIGHT.keys() | NOT_SQLITE
        assert is_right, f"{case['name']}: {verdict}"
        decided[f"{case['dialect']}: {verdict}"] += 1
        if isinstance(answer, Accepted):
            judged = judge(database(), str(answer.value))
            assert (judged.trespasses, judged.error) == ([], None), case["name"]
    _print_table("must_have.json", decided)
    assert decided["sqlite: deny"] == 6
    assert decided.total() == 70


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("name", ["sql/patt_sqli.json", "sql/fuzzdb_sqli.json"])
def test_no_injection_reaches_beyond_the_grant(name: str, context: str) -> None:
    payloads: list[str] = corpus(name)
    connection = database()
    connection.set_progress_handler(_stopper(), 1000)
    decided: Counter[str] = Counter()
    for payload in payloads:
        answer = decide(CONTEXTS[context].format(payload), GRANT)
        if isinstance(answer, Objection):
            decided[answer.code] += 1
            continue
        decided["accepted"] += 1
        judged = judge(connection, str(answer.value))
        assert judged.trespasses == [], payload
        decided["accepted, then an error of SQLite"] += judged.error is not None
    _print_table(f"{name}, {context}", decided)
    assert sum(decided.values()) - decided["accepted, then an error of SQLite"] == len(payloads)


def test_every_honest_question_of_spider_is_accepted_and_gives_the_same_rows() -> None:
    databases = {entry["db_id"]: entry for entry in corpus("sql/spider_dev_tables.json")}
    connections = {name: filled(entry, seed=7) for name, entry in databases.items()}
    settings = {name: grant(entry) for name, entry in databases.items()}
    counted: Counter[str] = Counter()
    for question in corpus("sql/spider_dev_benign.json"):
        answer = decide(question["sql"], settings[question["db"]])
        if isinstance(answer, Objection):
            counted[f"refused, {answer.code}"] += 1
            continue
        counted["accepted"] += 1
        connection = connections[question["db"]]
        is_same = _rows(connection, question["sql"]) == _rows(connection, str(answer.value))
        counted["accepted, same rows in the same order" if is_same else "accepted, other rows"] += 1
    _print_table("spider_dev_benign.json", counted)
    assert counted["accepted"] == 1034
    assert counted["accepted, same rows in the same order"] == 1034


def test_no_naughty_string_does_anything_but_pass_or_be_refused() -> None:
    for text in corpus("misc/blns.json"):
        for pattern in CONTEXTS.values():
            answer = decide(pattern.format(text), GRANT)
            if isinstance(answer, Accepted):
                assert judge(database(), str(answer.value)).trespasses == []
        assert registry.check("model_text", text, {}).facts["chars"] != -1


def _rows(connection: sqlite3.Connection, statement: str) -> object:
    try:
        return connection.execute(statement).fetchall()
    except sqlite3.Error as error:
        return str(error)


def _stopper() -> Any:  # noqa: ANN401 - a callback of sqlite3
    steps = iter(range(MOST_STEPS))

    def stop() -> int:
        return 0 if next(steps, None) is not None else 1

    return stop


def _print_table(title: str, counted: Counter[str]) -> None:
    print(f"\n{title}")  # noqa: T201 - a table for people
    for what, number in sorted(counted.items()):
        print(f"  {number:6}  {what}")  # noqa: T201 - as above
