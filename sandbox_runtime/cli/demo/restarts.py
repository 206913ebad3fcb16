"""What outlives a restart, of the agent or of the broker? And what does a wrong manifest say?

Law: each scene says beforehand what must be seen; anything else is a surprise, and the
demonstration has failed.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

from sandbox_runtime.cli.demo.scene import Scene
from sandbox_runtime.cli.demo.serving import COMMAND
from sandbox_runtime.cli.demo.story import MANIFEST
from sandbox_runtime.client import Broker, CallState

if TYPE_CHECKING:
    from sandbox_runtime.cli.demo.play import Played
    from sandbox_runtime.cli.demo.serving import Serving
    from sandbox_runtime.client import Task

MISSPELT, MEND = "max_cals", "max_calls"
SLOW = dedent(
    """
    import time

    time.sleep(2)
    "computed while nobody waited"
    """
).strip()
PATIENCE = 30.0
"""Seconds for one request."""


def wrong_manifest(manifests: Path) -> Scene:
    """Misspell one key in a copy of the tree, and have it checked."""
    with tempfile.TemporaryDirectory(prefix="sandbox-broker-") as place:
        tree = Path(place, manifests.name)
        shutil.copytree(manifests, tree, ignore=shutil.ignore_patterns("images.lock.json"))
        file = tree / "tasks" / f"{MANIFEST}.yaml"
        file.write_text(file.read_text().replace(f"{MEND}:", f"{MISSPELT}:", 1))
        words = [str(COMMAND), "manifest", "check", tree.name]
        ended = subprocess.run(  # noqa: S603 - our own command
            words, cwd=place, capture_output=True, text=True, check=False, timeout=PATIENCE
        )
    said = ended.stderr.strip()
    told = ended.returncode == 1 and f"did you mean `{MEND}`?" in said
    return Scene(
        name="wrong manifest",
        tries=f"`{MEND}` is misspelt as `{MISSPELT}`, and the tree is checked",
        saw=said,
        surprise="" if told else f"expected exit code 1 and `did you mean {MEND}`",
    )


def agent_restarts(broker: Serving, task: Task) -> Scene:
    """Detach a call, hang up while it runs, and ask for its end as another client."""
    with Broker.connect(broker.address) as agent:
        begun = agent.task(task.id, task.token).call(
            "python_run", {"code": SLOW}, call_id="slow", detach=True, timeout=PATIENCE
        )
    with Broker.connect(broker.address) as again:
        end = again.task(task.id, task.token).wait("slow", timeout=PATIENCE)
    value = end.result.get("value") if isinstance(end.result, dict) else None
    held = begun.state is CallState.RUNNING and value == "computed while nobody waited"
    return Scene(
        name="agent restarts",
        tries="the agent detaches a call, dies, is started anew and asks for the call's end",
        saw=f"{begun.state}, then {end.outcome}: {json.dumps(value)}",
        surprise="" if held else "expected a running call, then its answer",
    )


def broker_restarts(broker: Serving, task: Task, first: Played) -> Scene:
    """Stop the broker, start it on the same state, and send a call of before once more."""
    before = task.status(timeout=PATIENCE)
    broker.restart()
    with Broker.connect(broker.address) as client:
        same = client.task(task.id, task.token)
        again = same.call(
            first.step.tool, first.arguments, call_id=first.step.name, timeout=PATIENCE
        )
        after = same.status(timeout=PATIENCE)
    held = first.told.end == again and before == after
    return Scene(
        name="broker restarts",
        tries="the broker is stopped and started; the agent sends its first call once more",
        saw=f"the recorded answer of record {again.record}; {after.used.calls} calls are spent, "
        "as before",
        surprise="" if held else "expected the same task and the same answer",
    )
