"""What is asked of the engine, and what is expected of the kernel."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sandbox_runtime.manifests.model import Limits
from sandbox_runtime.sandbox.plan import (
    ContainerPlan,
    Identity,
    Mount,
    engine_options,
    host_config,
    plan,
)
from sandbox_runtime.sandbox.walls import expected

IMAGE = "sha256:" + "a" * 64


def made(**changed: object) -> ContainerPlan:
    return plan(
        image_id=IMAGE,
        program=("/usr/bin/python3", "/tool/main.py"),
        limits=Limits().model_copy(update=changed),
        runner="/opt/runner.py",
        data={"/data/sales.db": "/srv/sales.db"},
        identity=Identity(broker="b", task="t", call="c", deadline=1),
    )


def test_a_plan_survives_its_way_over_a_socket() -> None:
    assert ContainerPlan.model_validate_json(made().model_dump_json()) == made()


def test_the_same_plan_is_the_same_request() -> None:
    assert orjson.dumps(engine_options(made())) == orjson.dumps(engine_options(made()))


@pytest.mark.parametrize("image", ["python:3.12", "sha256:abc", "", IMAGE.upper()])
def test_an_image_that_is_not_named_by_its_id_is_no_plan(image: str) -> None:
    with pytest.raises(ValidationError):
        ContainerPlan.model_validate({**made().model_dump(), "image_id": image})


@pytest.mark.parametrize("path", ["relative", "", "/a\0b", "/a:b", "/a,b"])
def test_a_mount_needs_plain_absolute_paths(path: str) -> None:
    with pytest.raises(ValidationError):
        Mount(source=path, target="/x")


def test_operators_data_cannot_take_the_runners_place() -> None:
    options = plan(
        image_id=IMAGE,
        program=("x",),
        limits=Limits(),
        runner="/opt/runner.py",
        data={"/run/sandbox/runner.py": "/srv/other.py"},
        identity=Identity(broker="b", task="t", call="c", deadline=1),
    )
    assert [mount.source for mount in options.mounts] == ["/opt/runner.py"]


@settings(deadline=None)
@given(
    memory=st.integers(32 << 20, 8 << 30),
    cpu=st.floats(0.01, 8),
    pids=st.integers(4, 1024),
    tmp=st.integers(4096, 1 << 30),
)
def test_what_is_asked_is_what_is_expected(memory: int, cpu: float, pids: int, tmp: int) -> None:
    limited = made(memory=memory, cpu=cpu, pids=pids, tmp=tmp, wall_time=timedelta(seconds=1))
    host: dict[str, Any] = host_config(limited)
    walls = expected(limited)
    assert host["Memory"] == host["MemorySwap"] == walls.memory == walls.memory_and_swap <= memory
    assert host["PidsLimit"] == walls.pids == pids
    assert host["NanoCpus"] * 100_000 // 10**9 == walls.cpu_quota
    scratch = next(rule for rule in walls.mounts if rule.point == "/tmp")  # noqa: S108 - the container's own
    assert f"size={scratch.size}," in host["Tmpfs"]["/tmp"]  # noqa: S108 - the container's own
    assert scratch.size is not None
    assert scratch.size % 4096 == 0 < scratch.size <= tmp
