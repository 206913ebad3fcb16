"""Two tools and a task that load, and what they say once something in them is changed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sandbox_runtime.manifests.loader import load_texts
from sandbox_runtime.manifests.problems import ManifestErrors

QUERY = """\
apiVersion: sandbox-runtime/v1
kind: Tool
metadata: {name: sql_query, version: 1.2.0, owner: data-platform}
spec:
  description: Run one read-only query on the sales database.
  arguments:
    query:
      type: string
      role: control
      maxLength: 2000
      sql:
        dialect: sqlite
        max_rows: 500
    limit: {type: integer, minimum: 1, maximum: 1000, default: 100}
    tags: {type: array, items: {type: string}, maxItems: 4, default: []}
    title: {type: string, minLength: 2, maxLength: 80, default: untitled}
    region: {type: string, enum: [north, south, east], default: north}
  result: {schema: {type: array}, model_text: {}}
  data:
    - {name: sales, mount: /data/sales.db}
    - {name: rates, mount: /data/rates.db}
  sandbox: {memory: 128Mi, tmp: 16Mi}
"""

RUN = """\
apiVersion: sandbox-runtime/v1
kind: Tool
metadata: {name: python_run}
spec:
  description: Run Python.
  arguments:
    code: {type: string, role: control}
  result: {schema: {type: object}, model_text: {}}
"""

REPORT = """\
apiVersion: sandbox-runtime/v1
kind: Task
metadata: {name: monthly-report, owner: finance-platform, review: PR-123}
spec:
  opened_by: ["agent:reporting"]
  variables:
    tenant: {type: integer}
    word: {type: string, regex: "[a-z]+"}
  lifetime: {default: 15m, max: 8h}
  grants:
    - id: totals
      tool: sql_query
      why: totals for the report
      max_calls: 5
      arguments:
        query:
          length: {max: 1000}
          sql:
            max_rows: 100
            tables:
              orders: {columns: [id, total, month], rows: {tenant_id: {equals: $tenant}}}
        limit: {range: {min: 1, max: 50}}
        title: {exact: $word}
        region: {one_of: [north, south]}
    - id: chart
      tool: python_run
      why: draw the chart
      arguments:
        code: {regex: "(?s).*plot.*"}
  budgets: {calls: 20, wall_time: 60s, result_bytes: 1Mi}
"""

Told = Callable[..., str]


@pytest.fixture(scope="session")
def files() -> dict[str, str]:
    """A tree that loads."""
    return {"query.yaml": QUERY, "report.yaml": REPORT, "run.yaml": RUN}


@pytest.fixture
def told(files: dict[str, str]) -> Told:
    """What loading says once `old` is `new` in one file; empty if it loads."""

    def change(file: str, old: str, new: str) -> str:
        assert files[file].count(old) == 1, "the test changes exactly one place"
        changed = {**files, file: files[file].replace(old, new)}
        try:
            load_texts(changed)
        except ManifestErrors as errors:
            return str(errors)
        return ""

    return change
