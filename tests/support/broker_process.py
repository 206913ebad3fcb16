"""A broker in a process of its own, for tests that kill it: `broker_process SETTINGS`.

Its containers hold until they are killed if the file `hold` lies beside the settings.
Writes one line of JSON when it is ready; exits 3 on a fault, as the command does.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from sandbox_runtime.errors import Fault
from sandbox_runtime.server.serving import Ready, serve
from sandbox_runtime.server.settings import Settings
from tests.support.pipeline import Scripted
from tests.support.serving import Stage


def _say(ready: Ready) -> None:
    sys.stdout.write(f"{ready.socket}\n")
    sys.stdout.flush()


def _main(path: Path) -> int:
    settings = Settings.model_validate_json(path.read_text())
    stage = Stage(sandbox=Scripted(held=path.with_name("hold").exists()))
    try:
        asyncio.run(serve(settings, ready=_say, start=stage))
    except Fault as fault:
        sys.stderr.write(f"{fault}\n")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1])))
