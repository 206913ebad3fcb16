"""One broker, started as its user starts it, for all commands."""

from __future__ import annotations

import shutil
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.support.commands import SMALL, Place, document, run, serving, settle

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

    Run = Callable[..., subprocess.CompletedProcess[str]]
    Document = Callable[..., tuple[int, dict[str, Any]]]

WHO = ("--var", 'who="Ada"')


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Where a broker runs and listens."""
    made = settle(tmp_path_factory.mktemp("cli"), SMALL)
    with serving(made):
        yield made


@pytest.fixture(scope="session")
def call(place: Place) -> Run:
    """Propose a call of the small tool: `call(text, *options)`, or any words."""
    return partial(run, "call", "--broker", place.address)


@pytest.fixture(scope="session")
def call_document(place: Place) -> Document:
    """Propose a call, and return exit code and document."""
    return partial(document, "call", "--broker", place.address)


@pytest.fixture
def copied(place: Place, tmp_path: Path) -> Path:
    """A copy of the running broker's state, to be damaged."""
    shutil.copytree(place.state, tmp_path / "state", ignore=shutil.ignore_patterns("doors"))
    return tmp_path / "state"
