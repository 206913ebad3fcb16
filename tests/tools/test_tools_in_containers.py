"""The tools as they are built and run: real images, real containers, through `tool try`.

The images are those that set-up built; without them these tests fail.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import run
from tests.support.tool_runs import TOOLS

FIGURE = """
import matplotlib.pyplot as plt
plt.bar([1, 2, 3], [4, 5, 6])
plt.title("Verspätung, délai")
"""


def attempt(tool: str, arguments: dict[str, Any], *options: str) -> dict[str, Any]:
    """Run one call in a container of its own; return what `tool try` says in JSON."""
    words = ["try", tool, json.dumps(arguments), "--json", "--manifests", str(TOOLS), *options]
    said = run("tool", *words)
    assert said.returncode in {0, 1}, said.stderr
    return dict(json.loads(said.stdout))


def python(code: str, **inputs: object) -> dict[str, Any]:
    return attempt("python_run", {"code": code, "inputs": inputs})


def value(said: dict[str, Any]) -> Any:  # noqa: ANN401 - any JSON
    assert said["result"]["outcome"] == "OK", said
    return json.loads(said["result"]["result"])["value"]


def test_sql_query_reads_the_operators_file(database: Path) -> None:
    query = {"query": "SELECT carrier, delay FROM flights ORDER BY month"}
    said = attempt("sql_query", query, "--data", f"flights={database}")
    assert said["result"]["outcome"] == "OK", said
    assert json.loads(said["result"]["result"])["rows"] == [["UA", 2.5], ["DL", None]]


def test_rows_are_not_gathered_beyond_what_may_be_answered(database: Path) -> None:
    """A thousand rows of 900 KiB each are more than the container's memory."""
    query = """
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
        SELECT hex(zeroblob(450000)) FROM n LIMIT 1000
    """
    said = attempt("sql_query", {"query": query}, "--data", f"flights={database}")
    assert said["result"]["error"]["code"] == "too_large", said


def test_numpy_and_pandas_values_arrive_as_json() -> None:
    code = """
import numpy as np
import pandas as pd
times = pd.to_datetime(["2013-01-01", None])
{
    "array": np.arange(3),
    "scalars": [np.float64(1.5), np.int8(-1), np.bool_(True), np.nan, pd.NA, pd.NaT],
    "times": np.array(["2013-01-31"], dtype="datetime64[D]"),
    "frame": pd.DataFrame({"a": [1, None], "t": times}),
    "grouped": pd.DataFrame({"k": ["x", "y"], "v": [1, 2]}).groupby("k").sum(),
    "series": pd.Series({"x": 1.0, "y": None}),
}
"""
    assert value(python(code)) == {
        "array": [0, 1, 2],
        "scalars": [1.5, -1, True, None, None, None],
        "times": ["2013-01-31"],
        "frame": {"columns": ["a", "t"], "rows": [[1.0, "2013-01-01T00:00:00"], [None, None]]},
        "grouped": {"columns": ["k", "v"], "rows": [["x", 1], ["y", 2]]},
        "series": [["x", 1.0], ["y", None]],
    }


def test_a_figure_comes_back_as_an_artifact_with_its_digest() -> None:
    said = python(FIGURE)
    (artifact,) = said["result"]["artifacts"]
    content = base64.b64decode(artifact["content"])
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert json.loads(said["result"]["result"])["charts"] == [
        {
            "name": "chart.png",
            "type": "image/png",
            "digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
        }
    ]
    assert said["log"] == "", "the font cache of the image is not the one that is used"


def test_the_same_figure_has_the_same_digest_in_another_container() -> None:
    one, other = (json.loads(python(FIGURE)["result"]["result"])["charts"] for _ in range(2))
    assert one == other


def test_more_figures_than_an_answer_carries_are_an_error() -> None:
    code = "import matplotlib.pyplot as plt\nfor n in range(5):\n    plt.figure()"
    assert python(code)["result"]["error"] == {
        "code": "charts_too_large",
        "message": "5 figures are open, and 4 may be",
    }


@pytest.mark.parametrize(
    ("code", "raised"),
    [
        pytest.param(
            "open('/etc/shadow').read()",
            ("FileNotFoundError", "PermissionError"),
            id="the machine's passwords",
        ),
        pytest.param(
            "import socket\nsocket.create_connection(('203.0.113.7', 80), timeout=3)",
            ("OSError",),
            id="a connection",
        ),
        pytest.param(
            "import socket\nsocket.getaddrinfo('example.com', 80)", ("gaierror",), id="a name"
        ),
        pytest.param("open('/tool/main.py', 'a')", ("PermissionError",), id="its own program"),
        pytest.param("open('/tmp/f', 'wb').write(bytes(20 << 20))", ("OSError",), id="a full disk"),
        pytest.param("import os\nos.kill(1, 9)\nos.setuid(0)", ("PermissionError",), id="root"),
        pytest.param("open('/proc/1/mem', 'rb')", ("PermissionError",), id="the runner's memory"),
    ],
)
def test_what_the_container_has_not_got_is_an_error_of_the_code(
    code: str, raised: tuple[str, ...]
) -> None:
    said = python(code)["result"]
    assert said["outcome"] == "TOOL_ERROR", said
    assert any(name in said["error"]["message"] for name in raised), said


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        pytest.param(
            "import os\nwhile True:\n    try:\n        os.fork()\n"
            "    except OSError:\n        os._exit(1)",
            "PIDS_LIMIT",
            id="fork bomb",
        ),
        pytest.param(
            "import os\nwhile True:\n    os.write(1, bytes(65536))", "OUTPUT_LIMIT", id="flood"
        ),
        pytest.param("held = bytearray(2 << 30)", "OUT_OF_MEMORY", id="memory"),
        pytest.param("import os\nos.kill(os.getpid(), 9)", "CRASHED", id="suicide"),
        pytest.param(
            'import os\nos.write(3, b\'{"result": "mine"}\\n\')\n1', "INVALID_ANSWER", id="forgery"
        ),
    ],
)
def test_what_the_code_does_to_its_container_ends_the_call(code: str, outcome: str) -> None:
    assert python(code)["result"]["outcome"] == outcome
