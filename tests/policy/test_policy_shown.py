"""What a caller sees of a statement that was given a row filter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox_runtime.call import Candidate, Permitted
from sandbox_runtime.policy import decide, match
from tests.support.manifests import NOW, check, open_task, propose

if TYPE_CHECKING:
    from sandbox_runtime.strict import Json

TOOL = """\
apiVersion: sandbox-runtime/v1
kind: Tool
metadata: {name: query, version: 1.0.0, owner: tests}
spec:
  description: Ask.
  arguments:
    query: {type: string, role: control, sql: {dialect: sqlite, statements: [select]}}
  result: {schema: {type: object}}
"""
TASK = """\
apiVersion: sandbox-runtime/v1
kind: Task
metadata: {name: asking, version: 1.0.0, owner: tests}
spec:
  opened_by: ["agent:tests"]
  variables: {tenant: {type: integer}}
  grants:
    - id: orders
      tool: query
      why: to know
      arguments:
        query:
          sql: {tables: {orders: {columns: [id, total], rows: {tenant_id: {equals: $tenant}}}}}
"""


def permitted(statement: str) -> Permitted:
    variables: dict[str, Json] = {"tenant": 4711}
    task = open_task({"query/tool.yaml": TOOL, "tasks/asking.yaml": TASK}, variables=variables)
    candidate = match(task, propose(f'{{"query": "{statement}"}}', tool="query"), NOW)
    assert isinstance(candidate, Candidate)
    decision = decide(task, candidate, check(candidate), NOW)
    assert isinstance(decision, Permitted)
    return decision


def test_the_tool_reads_the_row_filter_and_the_caller_does_not() -> None:
    decision = permitted("SELECT * FROM orders")
    ran, shown = decision.arguments["query"], decision.shown["query"]
    assert "tenant_id" in str(ran)
    assert "4711" in str(ran)
    assert shown == 'SELECT "orders"."id", "orders"."total" FROM "orders" AS "orders"'


def test_what_is_shown_may_be_sent_again_and_means_the_same() -> None:
    first = permitted("SELECT id FROM orders WHERE total > 3 ORDER BY 1 LIMIT 5")
    shown = str(first.shown["query"]).replace('"', '\\"')
    assert permitted(shown).arguments == first.arguments
