"""Programs of the base's distribution, as its archive signs them."""

from __future__ import annotations

import stat
import tarfile
from pathlib import Path

import docker
import pytest

from sandbox_runtime.sandbox import distribution
from sandbox_runtime.sandbox.context import Item, ToolNotBuildable, add
from sandbox_runtime.sandbox.distribution import Programs, fetch, host_release, wanted
from sandbox_runtime.sandbox.images import ToolSource, build


@pytest.fixture(scope="module")
def jq() -> Programs:
    """What the package `jq` brings to a base that has the C library."""
    return fetch(["jq"], host_release(), frozenset({"usr/lib/x86_64-linux-gnu/libc.so.6"}))


def test_a_package_brings_its_program_and_the_libraries_under_it(jq: Programs) -> None:
    assert jq.files["usr/bin/jq"].executable
    assert any(path.startswith("usr/lib/") and "libjq" in path for path in jq.files)
    assert {"jq", "libjq1"} <= set(jq.versions)


def test_nothing_that_the_base_has_is_replaced(jq: Programs) -> None:
    assert "usr/lib/x86_64-linux-gnu/libc.so.6" not in jq.files


def test_links_stay_links(jq: Programs) -> None:
    links = {path: item.link for path, item in jq.files.items() if item.link}
    assert any(target.startswith("libjq.so") for target in links.values()), links


@pytest.mark.parametrize(
    ("name", "named", "place"),
    [
        ("./usr/bin/jq", True, "usr/bin/jq"),
        ("./bin/grep", True, "usr/bin/grep"),
        ("./usr/bin/perl", False, None),
        ("./lib/x86_64-linux-gnu/libz.so.1", False, "usr/lib/x86_64-linux-gnu/libz.so.1"),
        ("./usr/sbin/useradd", True, None),
        ("./etc/passwd", True, None),
        ("./usr/bin/../../etc/passwd", True, None),
        ("./tool/main.py", True, None),
        ("./var/lib/dpkg/status", True, None),
        ("./usr/share/doc/jq/copyright", True, "usr/share/doc/jq/copyright"),
        ("./usr/share/doc/jq/README", True, None),
        ("./usr/share/man/man1/jq.1.gz", True, None),
    ],
)
def test_only_programs_and_libraries_are_taken(name: str, named: bool, place: str | None) -> None:  # noqa: FBT001
    assert wanted(name, named=named) == place


def test_special_bits_are_not_taken_over(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "p.tar", "w") as made:
        made.add(Path(__file__), "p", filter=_set_user_id)
    with tarfile.open(tmp_path / "p.tar") as package, tarfile.open(tmp_path / "i", "w") as image:
        item = distribution._item(package, package.getmember("p"))  # noqa: SLF001 - the claim
        assert item is not None
        add(image, "p", item)
        assert image.getmember("p").mode == stat.S_IRWXU | 0o055


def _set_user_id(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mode = 0o6755
    return member


def test_another_distribution_than_the_base_s_is_explained() -> None:
    with pytest.raises(ToolNotBuildable, match=r"plan9 fourth.*tool save.*Dockerfile"):
        fetch(["jq"], "plan9 fourth", frozenset())


def test_a_package_that_there_is_none_of_is_explained() -> None:
    with pytest.raises(ToolNotBuildable, match=r"no-such-package-here.*apt-get update"):
        fetch(["no-such-package-here"], host_release(), frozenset())


def test_a_name_of_a_package_is_no_option_of_apt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Manifests do not load with such names; whoever calls this may not know."""
    ran: list[list[str]] = []

    def note(command: list[str]) -> str:
        ran.append(command)
        return "no"

    monkeypatch.setattr(distribution, "_run", note)
    with pytest.raises(ToolNotBuildable):
        fetch(["-oDir::Etc=/tmp"], host_release(), frozenset())
    assert ran[0].index("--") < ran[0].index("-oDir::Etc=/tmp")


def test_an_image_without_the_manifest_s_program_is_not_locked(
    base_image: str, tmp_path: Path
) -> None:
    (tmp_path / "tool").mkdir()
    (tmp_path / "tool" / "data.txt").write_text("x")
    tool = ToolSource(name="absent-test", folder=tmp_path / "tool", argv=("/usr/bin/absent",))
    with pytest.raises(ToolNotBuildable, match="no program /usr/bin/absent"):
        build([tool], base_image, tmp_path / "lock.json", lambda _: None)
    assert not (tmp_path / "lock.json").exists()
    client = docker.DockerClient.from_env()
    client.images.remove("sandbox-broker/absent-test:local")
    client.close()


def test_a_link_is_packed_as_one(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "t", "w") as tar:
        add(tar, "libx.so.1", Item(content=b"", link="libx.so.1.2"))
    with tarfile.open(tmp_path / "t") as tar:
        assert tar.getmember("libx.so.1").linkname == "libx.so.1.2"
