"""The base image: what is in it, what is not, and that anyone gets the same one."""

from __future__ import annotations

import io
import json
import tarfile
from contextlib import closing
from pathlib import Path, PurePosixPath

import docker
import pytest

from provision import archive, rootfs
from provision.base import Base
from provision.commands import Commands
from provision.debian import Packages
from provision.engine_api import EngineApi
from provision.places import Places
from provision.problem import Problem

CHECKOUT = Path(__file__).resolve().parents[2]
ENGINE = EngineApi(socket=Path("/var/run/docker.sock"))


@pytest.mark.parametrize(
    ("packed", "placed"),
    [
        pytest.param("./bin/ls", None, id="no program but Python"),
        pytest.param("./usr/bin/python3.11", "usr/bin/python3.11", id="Python"),
        pytest.param("./sbin/ldconfig", None, id="no program of the administrator"),
        pytest.param("./lib/x86_64-linux-gnu/libc.so.6", "usr/lib/x86_64-linux-gnu/libc.so.6"),
        pytest.param("./lib64/ld.so", "usr/lib64/ld.so", id="directories merged into usr"),
        pytest.param("./usr/share/man/man1/x.1", None, id="no manual"),
        pytest.param("./usr/share/doc/x/copyright", "usr/share/doc/x/copyright", id="licences"),
        pytest.param("./usr/share/doc/x/changelog.gz", None, id="no changelog"),
        pytest.param("./var/lib/x", None, id="no state"),
        pytest.param("./", None, id="the root itself"),
    ],
)
def test_a_file_of_a_package_has_one_place_in_the_image_or_none(
    packed: str, placed: str | None
) -> None:
    assert rootfs.wanted(packed) == (PurePosixPath(placed) if placed else None)


def test_a_package_cannot_write_through_a_link_to_outside_the_image(tmp_path: Path) -> None:
    tree, outside = tmp_path / "tree", tmp_path / "outside"
    outside.mkdir()
    tree.mkdir()
    (tree / "etc").symlink_to(outside)
    package = tmp_path / "package.tar"
    with tarfile.open(package, "w") as out:
        member = tarfile.TarInfo("./etc/cron")
        member.size = 4
        out.addfile(member, io.BytesIO(b"evil"))
    with tarfile.open(package) as packed, pytest.raises(Problem, match="outside the image"):
        rootfs._place(packed, packed.getmembers()[0], tree / "etc/cron", tree)  # noqa: SLF001
    assert not list(outside.iterdir())


def test_set_user_id_bits_and_owners_do_not_reach_the_layer(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "tmp").mkdir(parents=True)
    (tree / "su").write_bytes(b"")
    (tree / "su").chmod(0o4755)
    rootfs.pack(tree, tmp_path / "layer.tar", 1_700_000_000)
    with tarfile.open(tmp_path / "layer.tar") as layer:
        found = {one.name: (one.mode, one.uid, one.gid, one.mtime) for one in layer}
    assert found == {
        "su": (0o755, 0, 0, 1_700_000_000),
        "tmp": (0o1777, 0, 0, 1_700_000_000),
    }


def test_the_same_layer_gives_the_same_archive_and_the_same_id(tmp_path: Path) -> None:
    layer = tmp_path / "layer.tar"
    layer.write_bytes(b"layer")
    digests = set()
    for name in ("one", "two"):
        config = archive.configuration(
            layer=layer, machine="x86_64", user="10000:10000", labels={"a": "b"}, epoch=0
        )
        archive.write(tmp_path / name, config=config, layer=layer, tag="t")
        digests.add(archive.digest_of(tmp_path / name))
    assert len(digests) == 1


def base(wanted: str, tmp_path: Path) -> Base:
    commands = Commands(tmp_path / "log", lambda _: None)
    return Base(
        places=Places(checkout=tmp_path),
        api=ENGINE,
        packages=Packages(commands=commands, record=tmp_path / "packages.json"),
        commands=commands,
        wanted=wanted,
    )


@pytest.mark.parametrize("floating", ["python", "python:3.11", "python@sha256:1234", "sha256:12"])
def test_a_base_whose_name_can_move_is_refused(floating: str, tmp_path: Path) -> None:
    with pytest.raises(Problem, match="another image tomorrow"):
        base(floating, tmp_path).act()


def test_an_image_that_the_engine_has_is_taken_by_its_id(tmp_path: Path) -> None:
    image = recorded()["image"]
    base(image, tmp_path).act()
    assert json.loads((tmp_path / "build/base.json").read_text())["image"] == image


def test_a_base_that_nobody_has_ends_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="the engine has no image") as raised:
        base("sha256:" + "0" * 64, tmp_path).act()
    assert raised.value.mend


def recorded() -> dict[str, str]:
    record = json.loads((CHECKOUT / "build/base.json").read_text())
    assert isinstance(record, dict)
    return record


def inside(program: str) -> str:
    """Run Python in a container of the base image, without a network."""
    with closing(docker.from_env()) as engine:
        said = engine.containers.run(
            recorded()["image"],
            ["python3", "-I", "-W", "error", "-c", program],
            network_mode="none",
            remove=True,
        )
    return bytes(said).decode().strip()


def test_nothing_runs_in_the_image_but_python_and_nothing_gains_rights_there() -> None:
    program = """
import os, stat
for top in ("/usr", "/etc", "/opt", "/home", "/root"):
    for directory, _, names in os.walk(top):
        for path in (os.path.join(directory, name) for name in names):
            mode = os.lstat(path).st_mode
            if mode & (stat.S_ISUID | stat.S_ISGID):
                print("gains rights:", path)
            elif "/bin/" in path or "/sbin/" in path:
                print(os.path.basename(path))
"""
    assert inside(program).splitlines() == ["python3", "python3.11"]


def test_the_image_s_user_is_nobody_the_host_knows() -> None:
    assert (
        inside("import os; print(os.getuid(), os.getgid(), os.getgroups())")
        == "10000 10000 [10000]"
    )


def test_no_module_of_the_standard_library_is_compiled_again_in_a_container() -> None:
    program = """
import importlib.util, pathlib, struct
library = pathlib.Path("/usr/lib/python3.11")
for source in library.rglob("*.py"):
    cached = pathlib.Path(importlib.util.cache_from_source(str(source)))
    unchecked = cached.exists() and struct.unpack("<L", cached.read_bytes()[4:8])[0] == 1
    if not unchecked and "lib2to3/tests" not in str(source):
        print(source)
"""
    assert inside(program) == ""


def test_python_finds_certificates_time_zones_databases_and_the_c_plus_plus_library() -> None:
    program = """
import ctypes, sqlite3, ssl, zoneinfo
ctypes.CDLL("libstdc++.so.6")
zoneinfo.ZoneInfo("Europe/Berlin")
sqlite3.connect(":memory:")
print(len(ssl.create_default_context().get_ca_certs()) > 100)
"""
    assert inside(program) == "True"


def test_the_environment_of_the_image_is_its_path_and_its_language() -> None:
    program = "import os; print(*sorted(set(os.environ) - {'HOSTNAME', 'HOME'}))"
    assert inside(program) == "LANG PATH"
