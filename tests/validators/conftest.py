from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.call import Check
from sandbox_runtime.validators import Limits, Validators

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sandbox_runtime.strict import Json

HOSTILE = (sys.executable, "-I", str(Path(__file__).parent / "hostile_worker.py"))


@pytest.fixture(scope="session")
def hostile_program() -> tuple[str, ...]:
    """What a pool runs in place of the real worker."""
    return HOSTILE


@pytest.fixture
async def hostile() -> AsyncIterator[Validators]:
    """A pool of one worker, whose destinations attack."""
    limits = Limits(workers=1, job_time=1.0, first_uid=64200)
    validators = Validators(limits, program=HOSTILE)
    await validators.start()
    yield validators
    await validators.aclose()


@pytest.fixture(scope="session")
def check() -> Callable[..., Check]:
    def build(kind: str, pointer: str = "", settings: Json = None) -> Check:
        return Check(pointer=pointer, kind=kind, settings=settings, rule=("spec",))

    return build
