"""Mountinfo, line by line."""

from __future__ import annotations

import pytest

from sandbox_runtime import mountinfo

TMP = "91 74 0:48 / /tmp rw,nosuid,nodev - tmpfs tmpfs rw,size=1024k,nr_inodes=100"
ROOT = "24 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw"
HOME = "25 24 254:1 /@home /home/with\\040space rw - btrfs /dev/vdb rw"


def test_a_line_is_read_with_and_without_optional_fields() -> None:
    root, tmp = mountinfo.parse(f"{ROOT}\n{TMP}\n")
    assert (root.device, root.type, root.size) == ("254:0", "ext4", None)
    assert (tmp.point, tmp.size, tmp.inodes) == ("/tmp", 1 << 20, 100)  # noqa: S108 - the container's own
    assert tmp.flags == {"rw", "nosuid", "nodev"}


@pytest.mark.parametrize("line", ["", "1 2 3", "91 74 0:48 / /tmp rw tmpfs tmpfs rw"])
def test_a_line_of_another_shape_is_an_error(line: str) -> None:
    with pytest.raises(ValueError, match="mountinfo"):
        mountinfo.parse_line(line)


@pytest.mark.parametrize(
    ("path", "origin"),
    [
        ("/srv/sales.db", ("254:0", "/srv/sales.db")),
        ("/home/with space/x", ("254:1", "/@home/x")),
        ("/home/with space", ("254:1", "/@home")),
        ("/home/with spaces", ("254:0", "/home/with spaces")),
    ],
)
def test_the_origin_of_a_path_is_its_place_in_the_file_system(
    path: str, origin: tuple[str, str]
) -> None:
    assert mountinfo.origin(path, mountinfo.parse(f"{ROOT}\n{HOME}")) == origin


def test_the_later_of_two_mounts_at_one_place_counts() -> None:
    table = mountinfo.parse(f"{ROOT}\n{TMP}\n{TMP.replace('0:48', '0:49')}")
    assert mountinfo.origin("/tmp/x", table)[0] == "0:49"  # noqa: S108 - the container's own
