"""A user's files, real tools that work on them, and what outlives the task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.client import Broker, CallRefused, FileKind
from sandbox_runtime.errors import Reason
from tests.support.shipped import serving

if TYPE_CHECKING:
    from pathlib import Path


def test_tools_work_on_a_file_that_was_put_and_their_notes_outlive_the_task(
    tmp_path: Path,
) -> None:
    with serving(tmp_path) as address, Broker.connect(address) as broker:
        task = broker.open_task("workspace-notes")
        task.put_file("data/in.txt", b"alpha\nbeta needle\n")
        found = task.call("text_search", {"pattern": "needle"}, timeout=60)
        assert found.ok, found.detail
        assert "beta needle" in str(found.result)
        note = {"path": "notes/a.md", "text": "found: \u202eneedle\n"}
        wrote = task.call("write_file", note, timeout=60)
        assert wrote.ok, wrote.detail
        assert task.get_file("notes/a.md") == b"found: needle\n"
        listed = {one.path: (one.kind, one.kept) for one in task.files().entries}
        assert listed["notes/a.md"] == (FileKind.FILE, True)
        assert listed["data/in.txt"] == (FileKind.FILE, False)
        task.put_file("data/in.csv", b"a,b\n1,2\n")
        with pytest.raises(CallRefused) as caught:
            task.get_file("data/in.csv")  # notes may leave, says the manifest, and no tables
        assert caught.value.code == "file.type_not_allowed"
        assert caught.value.reason is Reason.FILE_REFUSED
        task.close()
        identity = task.id, task.token
    (tmp_path / "flights.db").unlink()  # it is made anew
    with serving(tmp_path) as address, Broker.connect(address) as broker:
        ended = broker.task(*identity)
        assert [one.path for one in ended.files().entries] == ["notes/a.md"]
        assert ended.get_file("notes/a.md") == b"found: needle\n"
