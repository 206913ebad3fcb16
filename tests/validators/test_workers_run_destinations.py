"""A destination answers from inside a worker as it answers here, nothing left to import."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.call import CheckAborted
from sandbox_runtime.destinations.registry import DESTINATIONS
from sandbox_runtime.validators import Limits, Validators
from sandbox_runtime.validators.examine import examine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sandbox_runtime.call import Check
    from sandbox_runtime.strict import Json

    Build = Callable[..., Check]

SQL: Json = {
    "dialect": "sqlite",
    "tables": {"orders": {"columns": ["id", "total", "month"], "rows": {"tenant": {"equals": 7}}}},
}
SCHEMA: Json = {
    "type": "object",
    "properties": {
        "when": {"type": "string", "format": "date-time"},
        "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 8},
    },
}

CASES = [
    pytest.param("sql", SQL, "SELECT id, total FROM orders", id="a-query"),
    pytest.param(
        "sql",
        SQL,
        "WITH m AS (SELECT month, sum(total) AS s FROM orders GROUP BY month) "
        "SELECT month, round(s, 2), row_number() OVER (ORDER BY s) FROM m "
        "WHERE strftime('%Y', month) = '2013' OR month LIKE 'x%' ORDER BY 2 DESC LIMIT 5",
        id="a-query-with-everything",
    ),
    pytest.param("sql", SQL, "SELECT * FROM secrets", id="another-table"),
    pytest.param("sql", SQL, "DELETE FROM orders", id="a-delete"),
    pytest.param("sql", SQL, "SELECT 'unterminated", id="no-sql"),
    pytest.param("sql", SQL, "SELECT " + "(" * 400 + "1" + ")" * 400, id="too-deep"),
    pytest.param("sql", SQL, {"not": "a text"}, id="no-text"),
    pytest.param("path", {}, "reports/may.html", id="a-path"),
    pytest.param("path", {}, "../etc/passwd", id="a-path-out"),
    pytest.param("schema", SCHEMA, {"when": "2013-01-01T00:00:00Z", "name": "a"}, id="fits"),
    pytest.param("schema", SCHEMA, {"when": "never", "name": "A" * 9}, id="does-not-fit"),
    pytest.param(
        "html",
        {"links": {"hosts": ["good.example", "*.bücher.example"]}, "images": {"data": True}},
        "<p>a<a href='https://x.bücher.example?ü'>b</a><img src='data:image/gif;base64,QQ=='>"
        "<svg><script>c</script></svg>&copy &#x1F600; &nosuch; <x-y onclick=d>",
        id="html-with-everything",
    ),
    pytest.param("html", {}, "<script>a</script>", id="nothing-but-a-script"),
    pytest.param("html", {}, "<div>" * 500, id="html-too-deep"),
    pytest.param("html", {}, "<b><p></b>" * 50, id="html-out-of-order"),
    pytest.param("csv", {}, 'a,"b ""c"""\n-5,=1+1\r\n\u200bx,\x1b[1my\n', id="a-table"),
    pytest.param("csv", {"formulas": "refuse"}, "a,b\n1,@x", id="a-formula"),
    pytest.param("csv", {}, 'a"b', id="no-table"),
    pytest.param("model_text", {}, ["plain", {"a\u202eb": "c\x1b[2Jd\u200b"}], id="hidden-text"),
    pytest.param("model_text", {}, "\ud800", id="half-a-surrogate"),
]


@pytest.fixture(scope="module")
def first_uid() -> int:
    return 64300


@pytest.fixture
async def validators(first_uid: int) -> AsyncIterator[Validators]:
    pool = Validators(Limits(workers=1, first_uid=first_uid, job_time=10.0))
    await pool.start()
    yield pool
    await pool.aclose()


@pytest.mark.parametrize(("kind", "settings", "value"), CASES)
async def test_a_worker_says_what_the_destination_says_here(
    validators: Validators, check: Build, kind: str, settings: Json, value: Json
) -> None:
    checks = [check(kind, settings=settings)]
    said = await validators.check_value(value, checks)
    assert not isinstance(said[0], CheckAborted)
    assert said == examine(value, checks)


def test_every_destination_has_a_case_here() -> None:
    assert {case.values[0] for case in CASES} == set(DESTINATIONS)


async def test_a_query_that_takes_too_long_to_check_is_aborted(check: Build) -> None:
    pool = Validators(Limits(workers=1, first_uid=64310, job_time=0.001))
    await pool.start()
    text = " ".join(["SELECT id FROM orders WHERE id = 1", *["OR id = 1"] * 120])
    (verdict,) = await pool.check_value(text, [check("sql", settings=SQL)])
    assert verdict == CheckAborted(pointer="", kind="sql", cause="time")
    await pool.aclose()


async def test_settings_that_cannot_be_read_abort_and_never_pass(
    validators: Validators, check: Build
) -> None:
    for kind in ("sql", "no-such-kind"):
        (verdict,) = await validators.check_value("x", [check(kind, settings={"nonsense": 1})])
        assert verdict == CheckAborted(pointer="", kind=kind, cause="crash")
