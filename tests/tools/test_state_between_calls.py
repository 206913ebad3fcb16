"""State between calls lives in the workspace: through a real broker, calls and containers."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from sandbox_runtime.client import Broker, CallLog, CallRefused
from sandbox_runtime.sandbox.plan import UID
from tests.support.shipped import ROOT, serving

if TYPE_CHECKING:
    from pathlib import Path

Call = Callable[..., Any]


TASK = """\
apiVersion: sandbox-runtime/v1
kind: Task
metadata: {name: sums, version: 1.0.0, owner: tests}
spec:
  opened_by: ["uid:0"]
  grants:
    - {id: compute, tool: python_run, why: sums, max_calls: 9, arguments: {code: {}}}
  budgets: {wall_time: 10m}
"""
FILES = "  workspace: {size: 4Mi}\n"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    here: Path = tmp_path_factory.mktemp("broker")
    tree = here / "manifests"
    shutil.copytree(ROOT / "tool_manifests", tree)
    (tree / "tasks" / "sums.yaml").write_text(TASK)
    (tree / "tasks" / "files.yaml").write_text(TASK.replace("sums,", "sums-on-files,") + FILES)
    tool = tree / "python_run" / "tool.yaml"
    tool.write_text(tool.read_text().replace("wall_time: 6s", "wall_time: 60s"))
    peers = [{"uid": os.geteuid(), "subject": "uid:0", "roles": ["opener", "agent"]}]
    with serving(here, peers=peers, manifests=str(tree)) as address:
        yield address


def calling(address: str, manifest: str, **variables: Any) -> Iterator[Call]:  # noqa: ANN401 - any JSON
    with (
        Broker.connect(address) as broker,
        broker.open_task(manifest, variables=variables) as task,
    ):

        def call(tool: str, **arguments: Any) -> Any:  # noqa: ANN401 - any JSON
            end = task.call(tool, arguments)
            return end.result if end.error is None else end.error.code

        yield call


@pytest.fixture
def report(address: str) -> Iterator[Call]:
    yield from calling(address, "monthly-delay-report", origin="JFK")


@pytest.fixture
def notes(address: str) -> Iterator[Call]:
    yield from calling(address, "workspace-notes")


LOOK = "import os\n[os.getuid(), os.path.exists('/workspace')]"
SLOW = "import os, time\nx = 1\nos.write(2, b'up')\ntime.sleep(60)"


def test_without_files_code_runs_as_every_tool_s_user_and_keeps_nothing(address: str) -> None:
    for bare in calling(address, "sums"):
        assert bare("python_run", code=LOOK)["value"] == [UID, False]
        for argument in ("keep", "load"):
            with pytest.raises(CallRefused) as refused:
                bare("python_run", code="x = 1", **{argument: ["x"]})
            said = refused.value
            assert (said.reason, said.code) == ("WORKSPACE_NOT_GRANTED", "workspace.none")
            assert said.pointer == f"/{argument}"
            assert said.hint == f"this task has no workspace; leave `{argument}` out"


def test_code_that_asks_for_no_files_sees_none_and_waits_for_nobody_who_has_them(
    address: str,
) -> None:
    with Broker.connect(address) as broker, broker.open_task("sums-on-files") as task:
        for call_id, keep in (("has", ["x"]), ("beside", [])):
            task.call("python_run", {"code": SLOW, "keep": keep}, call_id=call_id, detach=True)
            assert any(isinstance(event, CallLog) for event in task.watch(call_id))
        ended = task.call("python_run", {"code": LOOK}, call_id="quick")
        assert ended.result["value"] == [UID, False]
        still = [task.cancel(call_id).end for call_id in ("has", "beside")]
        assert [end.outcome for end in still if end is not None] == ["CANCELLED"] * 2


MADE = """
import numpy as np, pandas as pd
df = pd.DataFrame({
    "n": [1, 2], "share": [0.1 + 0.2, None], "name": ["ü", None],
    "at": pd.to_datetime(["2013-01-01T05:00", None]),
}, index=pd.Index(["a", "b"], name="key"))
x = np.arange(6, dtype="int16").reshape(2, 3)
d = {"months": [1, 2]}
"""
SAME = (
    MADE.replace("df =", "df_ =").replace("x =", "x_ =")
    + """
assert df.equals(df_) and list(df.dtypes) == list(df_.dtypes) and df.index.name == "key"
assert (x == x_).all() and x.dtype == x_.dtype
d
"""
)


def test_a_table_an_array_and_a_value_outlive_their_call(report: Call) -> None:
    kept = report("python_run", code=MADE, keep=["df", "x", "d"])["kept"]
    assert kept == ["kept/df.parquet", "kept/x.npy", "kept/d.json"]
    assert report("python_run", code=SAME, load=["df", "x", "d"])["value"] == {"months": [1, 2]}


PLANTED = """
import os, pickle, numpy as np
class Evil:
    def __reduce__(self):
        return os.mkdir, ("/workspace/ran",)
os.makedirs("/workspace/kept", exist_ok=True)
np.save("/workspace/kept/a.npy", np.array([Evil()], dtype=object), allow_pickle=True)
pickle.dump(Evil(), open("/workspace/kept/b.parquet", "wb"))
pickle.dump(Evil(), open("/workspace/kept/c.json", "wb"))
planted = True
"""


def test_a_pickle_that_was_planted_never_runs(report: Call) -> None:
    report("python_run", code=PLANTED, keep=["planted"])
    for name in "abc":
        assert report("python_run", code="1", load=[name]) == "damaged"
    found = report("python_run", code="import os\nos.listdir('/workspace')", load=["planted"])
    assert found["value"] == ["kept"]


def test_an_array_of_objects_is_not_kept(report: Call) -> None:
    code = "import numpy as np\na = np.array([{}, 1], dtype=object)"
    assert report("python_run", code=code, keep=["a"]) == "cannot_be_kept"


def test_nothing_of_one_task_is_found_by_another(report: Call, address: str) -> None:
    report("python_run", code="a = 1", keep=["a"])
    for other in calling(address, "monthly-delay-report", origin="LGA"):
        assert other("python_run", code="a", load=["a"]) == "not_kept"


def test_what_one_tool_writes_the_others_read_search_and_query(notes: Call) -> None:
    notes("write_file", path="notes/a.md", text="# Today\n- late\n")
    assert notes("read_file", path="./notes//a.md")["text"] == "# Today\n- late\n"
    assert notes("text_search", pattern="late") == "/workspace/notes/a.md:2:- late\n"
    assert notes("json_query", filter=".[0]", document=json.dumps([7])) == [7]
    entries = notes("list_files", deep=True)["entries"]
    assert [each["path"] for each in entries if each["kind"] == "file"] == ["notes/a.md"]


@pytest.mark.parametrize(
    ("tool", "arguments", "code"),
    [
        ("read_file", {"path": "../../etc/passwd.txt"}, "path.upwards"),
        ("write_file", {"path": "/etc/cron.d/x.md", "text": ""}, "path.absolute"),
        ("json_query", {"filter": "-f", "document": "1"}, "command.dash"),
        ("text_search", {"pattern": "a\nb"}, "command.line_end"),
    ],
)
def test_what_leads_elsewhere_is_refused_and_named(
    notes: Call, tool: str, arguments: dict[str, Any], code: str
) -> None:
    with pytest.raises(CallRefused) as refused:
        notes(tool, **arguments)
    assert refused.value.code == code
