"""Tools are carried to another machine, and nothing else can be."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import orjson
import pytest
from docker.errors import ImageNotFound

from sandbox_runtime.sandbox import cargo, carrying, images, lock
from sandbox_runtime.sandbox.cargo import CONTENTS, IMAGES, LOCK
from sandbox_runtime.sandbox.images import ToolSource
from sandbox_runtime.sandbox.lock import LockBroken
from sandbox_runtime.sandbox.shipment import CargoRefused

NAME = "carried-test"
TAG = f"sandbox-broker/{NAME}:stolen"
Files = dict[str, bytes]


@pytest.fixture
def place(tmp_path: Path, base_image: str) -> Iterator[Path]:
    """A folder with the lock of one built tool."""
    (tmp_path / "tool").mkdir()
    (tmp_path / "tool" / "main.py").write_text("print(1)\n")
    source = ToolSource(name=NAME, folder=tmp_path / "tool", argv=("/usr/bin/python3",))
    images.build([source], base_image, tmp_path / LOCK, lambda _: None)
    yield tmp_path
    removed()


def removed() -> None:
    client = docker.DockerClient.from_env()
    for image in client.images.list(filters={"label": f"sandbox-broker.tool={NAME}"}):
        client.images.remove(str(image.id), force=True)
    client.close()


def has(image: str) -> bool:
    client = docker.DockerClient.from_env()
    try:
        return bool(client.images.get(image))
    except ImageNotFound:
        return False
    finally:
        client.close()


def test_what_was_saved_is_loaded_where_it_was_not(place: Path) -> None:
    digest = carrying.save(place / LOCK, place / "tools.tar")
    removed()
    made = carrying.load(place / "tools.tar", place / "there.json", expected=digest)
    assert images.locked(place / "there.json") == {NAME: made.tools[NAME].image}
    assert (place / "there.json").read_bytes() == (place / LOCK).read_bytes()


def test_what_the_engine_has_not_is_not_saved(place: Path) -> None:
    removed()
    with pytest.raises(LockBroken):
        carrying.save(place / LOCK, place / "tools.tar")
    assert sorted(path.name for path in place.iterdir()) == [LOCK, "tool"]


def read(file: Path | io.BytesIO) -> Files:
    opened = (
        tarfile.open(fileobj=file) if isinstance(file, io.BytesIO) else tarfile.open(file)  # noqa: SIM115
    )
    with opened as tar:
        found = {each.name: tar.extractfile(each) for each in tar if each.isreg()}
        return {name: content.read() for name, content in found.items() if content}


def packed(files: Files, *also: tarfile.TarInfo) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content in files.items():
            head = tarfile.TarInfo(name)
            head.size = len(content)
            tar.addfile(head, io.BytesIO(content))
        for head in also:
            tar.addfile(head)
    return made.getvalue()


def signed(files: Files) -> Files:
    """Let the contents say what the parts are now, as who tampers would."""
    said = {
        key: {"sha256": hashlib.sha256(files[name]).hexdigest(), "size": len(files[name])}
        for key, name in (("lock", LOCK), ("images", IMAGES))
    }
    contents = {"format": "sandbox-broker/tools/1", **said}
    return {CONTENTS: orjson.dumps(contents), LOCK: files[LOCK], IMAGES: files[IMAGES]}


def flipped(files: Files) -> Files:
    at = len(files[IMAGES]) // 2
    changed = files[IMAGES][:at] + bytes([files[IMAGES][at] ^ 1]) + files[IMAGES][at + 1 :]
    return {**files, IMAGES: changed}


def within(change: Callable[[Files], Files], *also: tarfile.TarInfo) -> Callable[[Files], Files]:
    """Change the engine's own archive, and sign it anew."""

    def changed(files: Files) -> Files:
        inner = change(read(io.BytesIO(files[IMAGES])))
        return signed({**files, IMAGES: packed(inner, *also)})

    return changed


def another_layer(inner: Files) -> Files:
    name = max((n for n in inner if n.endswith("layer.tar")), key=lambda n: len(inner[n]))
    return {**inner, name: inner[name] + bytes(1024)}


def another_configuration(inner: Files) -> Files:
    (name,) = (n for n in inner if n.endswith(".json") and n != "manifest.json")
    return {**inner, name: inner[name].replace(b"10000:10000", b"0:0")}


def tagged(inner: Files) -> Files:
    manifest = orjson.loads(inner["manifest.json"])
    manifest[0]["RepoTags"] = [TAG]
    return {**inner, "manifest.json": orjson.dumps(manifest)}


def tagged_under_another_spelling(inner: Files) -> Files:
    """For tarfile two files; for an engine, one place."""
    return {**inner, "./manifest.json": tagged(inner)["manifest.json"]}


def renamed_for_one_reader(files: Files) -> Files:
    """Headers for all that follows (pax `g`): tarfile heeds them, an engine's Go does not."""
    inner = read(io.BytesIO(files[IMAGES]))
    evil = tagged(inner)["manifest.json"]
    good = inner.pop("manifest.json")
    whole = packed(inner).rstrip(b"\0")
    whole += bytes(-len(whole) % 512)
    for seen, name, content in (("manifest.json", "x", good), ("x", "manifest.json", evil)):
        record = f"{len(seen) + 9} path={seen}\n".encode()
        for info, text in ((head("g", tarfile.XGLTYPE), record), (head(name), content)):
            info.size = len(text)
            whole += info.tobuf() + text + bytes(-len(text) % 512)
    return signed({**files, IMAGES: whole + bytes(1024)})


def head(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


def compressed(files: Files) -> Files:
    """A layer that an engine would unpack before it compares digests."""
    layer = gzip.compress(bytes(1 << 20))
    digest = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    text = orjson.dumps({"rootfs": {"type": "layers", "diff_ids": [digest]}})
    image = hashlib.sha256(text).hexdigest()
    listed = [{"Config": f"{image}.json", "RepoTags": None, "Layers": ["1/layer.tar"]}]
    inner = {"1/layer.tar": layer, f"{image}.json": text, "manifest.json": orjson.dumps(listed)}
    made = orjson.loads(files[LOCK])
    made["tools"][NAME]["image"] = f"sha256:{image}"
    return signed({LOCK: orjson.dumps(made), IMAGES: packed(inner)})


def another_lock(files: Files) -> Files:
    made = orjson.loads(files[LOCK])
    made["tools"][NAME]["image"] = "sha256:" + "0" * 64
    return signed({**files, LOCK: orjson.dumps(made)})


def same(inner: Files) -> Files:
    return inner


TAMPERED = {
    "a bit": flipped,
    "a bit, signed anew": lambda files: signed(flipped(files)),
    "another lock": another_lock,
    "a lock that is none": lambda files: signed({**files, LOCK: b"{}"}),
    "a part too many": lambda files: {**files, "more": b""},
    "a part too few": lambda files: {CONTENTS: files[CONTENTS], LOCK: files[LOCK]},
    "parts in another order": lambda files: dict(reversed(files.items())),
    "another layer": within(another_layer),
    "another configuration": within(another_configuration),
    "a tag": within(tagged),
    "tags in the old way": within(lambda inner: {**inner, "repositories": b"{}"}),
    "a list of no images": within(lambda inner: {**inner, "manifest.json": b"[1]"}),
    "a compressed layer": compressed,
    "no images": within(lambda _: {"manifest.json": b"[]"}),
    "a file that leads upwards": within(same, head("../../etc/cron.d/x")),
    "a link that leads elsewhere": within(same, head("x/layer.tar", tarfile.SYMTYPE, "/etc")),
    "links in a circle": within(
        lambda inner: {n: c for n, c in inner.items() if n != "1/layer.tar"},
        head("1/layer.tar", tarfile.SYMTYPE, "layer.tar"),
    ),
    "a device": within(same, head("x", tarfile.CHRTYPE)),
    "a hard link": within(same, head("x", tarfile.LNKTYPE, "manifest.json")),
}


@pytest.fixture
def tiny() -> Iterator[Files]:
    """An archive of one image of a few bytes, as `tool save` would write it."""
    layer = packed({"tool/main.py": b"print(1)\n"})
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"User": "10000:10000", "Labels": {images.TOOL: NAME, images.INPUTS: "1" * 64}},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    text = orjson.dumps(config)
    image = hashlib.sha256(text).hexdigest()
    manifest = [{"Config": f"{image}.json", "RepoTags": None, "Layers": ["1/layer.tar"]}]
    inner = {
        "1/layer.tar": layer,
        f"{image}.json": text,
        "manifest.json": orjson.dumps(manifest),
    }
    entry = {"image": f"sha256:{image}", "inputs": "1" * 64, "built_at": "2026-01-01T00:00:00Z"}
    made = {"version": 1, "base": f"sha256:{'2' * 64}", "tools": {NAME: entry}}
    yield signed({LOCK: orjson.dumps(made), IMAGES: packed(inner)})
    removed()


def loaded(place: Path, files: Files) -> lock.ImagesLock:
    (place / "tools.tar").write_bytes(packed(files))
    return carrying.load(place / "tools.tar", place / "there.json")


def test_the_archive_that_is_changed_below_loads(tmp_path: Path, tiny: Files) -> None:
    assert has(loaded(tmp_path, tiny).tools[NAME].image)


@pytest.mark.parametrize("change", TAMPERED.values(), ids=TAMPERED)
def test_an_archive_that_was_changed_is_refused_before_the_engine_gets_it(
    tmp_path: Path, tiny: Files, change: Callable[[Files], Files]
) -> None:
    with pytest.raises(CargoRefused):
        loaded(tmp_path, change(tiny))
    assert not (tmp_path / "there.json").exists()
    assert not has(orjson.loads(tiny[LOCK])["tools"][NAME]["image"])


AMBIGUOUS = {
    "one place under two names": within(tagged_under_another_spelling),
    "names that one reader alone sees": renamed_for_one_reader,
}


@pytest.mark.parametrize("change", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_an_archive_that_two_readers_read_differently_reaches_the_engine_as_we_read_it(
    tmp_path: Path, tiny: Files, change: Callable[[Files], Files]
) -> None:
    assert has(loaded(tmp_path, change(tiny)).tools[NAME].image)
    assert not has(TAG)


def test_images_that_are_no_tool_s_are_not_locked(tmp_path: Path, tiny: Files) -> None:
    """Whole, and by its id; and yet no image that was built for this tool."""
    made = orjson.loads(tiny[LOCK])
    made["tools"]["python_run"] = made["tools"].pop(NAME)
    with pytest.raises(LockBroken):
        loaded(tmp_path, signed({**tiny, LOCK: orjson.dumps(made)}))
    assert not (tmp_path / "there.json").exists()


def less_than_nothing() -> bytes:
    """A long name (GNU `L`) of minus 1024 bytes."""
    info = head("x", b"L")
    info.size = -1024
    return info.tobuf(tarfile.GNU_FORMAT) + bytes(4096)


@pytest.mark.parametrize("content", [b"", b"no archive", bytes(10240), less_than_nothing()])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(CargoRefused):
        cargo.opened(tmp_path / "x")


@pytest.mark.parametrize("missing", [1, 2000, 12_000])
def test_a_part_of_an_archive_is_refused(tmp_path: Path, tiny: Files, missing: int) -> None:
    (tmp_path / "x").write_bytes(packed(tiny).rstrip(b"\0")[:-missing])
    with pytest.raises(CargoRefused):
        carrying.load(tmp_path / "x", tmp_path / "there.json")


def test_an_archive_of_another_digest_is_not_even_opened(tmp_path: Path, tiny: Files) -> None:
    (tmp_path / "x").write_bytes(packed(tiny))
    with pytest.raises(CargoRefused, match="another digest"):
        carrying.load(tmp_path / "x", tmp_path / "there.json", expected="0" * 64)
