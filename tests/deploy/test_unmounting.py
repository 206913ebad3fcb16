"""Nothing is removed through a mount that a killed broker left."""

from __future__ import annotations

import subprocess
from pathlib import Path

from provision.mounts import unmount_below


def _mounted(place: Path) -> Path:
    place.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)  # noqa: S603, S607
    return place


def test_what_is_mounted_below_goes_the_innermost_first_and_nothing_beside(tmp_path: Path) -> None:
    beside = _mounted(tmp_path / "building")
    outer = _mounted(tmp_path / "build/state/work spaces")
    inner = _mounted(outer / "root")
    assert unmount_below(tmp_path / "build") == []
    assert not inner.exists()
    assert not outer.is_mount()
    assert beside.is_mount()
    assert unmount_below(tmp_path) == []


def test_what_is_in_use_is_named_and_stays(tmp_path: Path) -> None:
    place = _mounted(tmp_path / "build/root")
    with (place / "a").open("w"):
        assert unmount_below(tmp_path / "build") == [str(place)]
    assert unmount_below(tmp_path / "build") == []
