"""Where are the public corpora?

They are no part of the project: `CORPORA` names their directory, else it is looked for
beside the checkout. A test that needs them fails where they are missing; it never skips.
"""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any, Final

_BESIDE: Final = Path(__file__).resolve().parents[2].parent / "shared" / "corpora"


def corpus(name: str) -> Any:  # noqa: ANN401 - whatever the file holds
    """Return what the JSON file `name` (`sql/must_have.json`) holds."""
    raw = _path(name).read_bytes()
    return json.loads(gzip.decompress(raw) if name.endswith(".gz") else raw)


def corpus_text(name: str) -> str:
    """Return the text of the gzipped file `name`."""
    return gzip.decompress(_path(name).read_bytes()).decode()


def _path(name: str) -> Path:
    path = Path(os.environ.get("CORPORA", _BESIDE)) / name
    if not path.is_file():
        message = f"no corpus at {path}: set CORPORA to the directory that holds `{name}`"
        raise FileNotFoundError(message)
    return path
