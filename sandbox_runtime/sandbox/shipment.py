"""Which images does an engine's archive hold, and what of it is given to an engine?

Law: two readers read one tar in two ways (headers that rename what follows, one place under
two names, links on the way). So nobody else gets to read it: what goes to the engine is
printed anew from configurations and layers that were held to their digests, under a list
of ours that names no tag.
"""

from __future__ import annotations

import hashlib
import io
import posixpath
import re
import tarfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Annotated, Final

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from sandbox_runtime.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

MANIFEST: Final = "manifest.json"
TEXT_MAX: Final = 16 << 20
CHUNK: Final = 1 << 20
_COMPRESSED: Final = re.compile(
    rb"\x1f\x8b|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18", re.DOTALL
)
"""How gzip, bzip2, xz and zstd begin: an engine would unpack it before it looks at digests."""


class CargoRefused(Fault):
    """The archive is not what `tool save` writes, or not as it was written."""


class _Listed(BaseModel):
    """An image, as the engine's list has it; it may say more."""

    model_config = ConfigDict(frozen=True, strict=True)

    config: str = Field(alias="Config")
    layers: list[str] = Field(alias="Layers")
    tags: list[str] | None = Field(alias="RepoTags", default=None)


class _Layers(BaseModel):
    """What a configuration says of its layers: their digests."""

    model_config = ConfigDict(frozen=True, strict=True)

    diff_ids: list[Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]]


class _Configuration(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)

    rootfs: _Layers


_LIST: Final = TypeAdapter(list[_Listed])


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer that is what its digest says."""

    digest: str
    """In hex."""
    name: str
    """In the archive that it came in."""

    @property
    def place(self) -> str:
        """Where it is put in ours."""
        return f"{self.digest}/layer.tar"


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image that is what its id says."""

    digest: str
    """Of its configuration, in hex: its id."""
    configuration: bytes
    layers: tuple[Layer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipment:
    """Images that were checked, in the archive that holds their layers."""

    tar: tarfile.TarFile
    images: tuple[Image, ...]

    def printed(self) -> Iterator[bytes]:
        """Yield the archive that an engine is given."""
        layers = {layer.place: layer.name for image in self.images for layer in image.layers}
        for place, name in layers.items():
            yield from _entry(place, file_of(self.tar, name))
        for image in self.images:
            yield from _entry(f"{image.digest}.json", io.BytesIO(image.configuration))
        yield from _entry(MANIFEST, io.BytesIO(orjson.dumps([_told(each) for each in self.images])))
        yield bytes(2 * tarfile.BLOCKSIZE)


def checked(tar: tarfile.TarFile, wanted: set[str]) -> Shipment:
    """Return the images of an engine's archive, if they are exactly those with the ids `wanted`.

    Raises `CargoRefused`, and what a damaged archive makes tarfile and pydantic raise.
    """
    names = {each.name for each in tar.getmembers()}
    for each in tar.getmembers():
        if not _harmless(each, names):
            raise CargoRefused("the archive's images hold a file that could lead elsewhere")
    listed = _LIST.validate_json(text_of(tar, MANIFEST))
    if "repositories" in names or any(each.tags for each in listed):
        raise CargoRefused("the archive would name images by tags, and only ids count")
    images = tuple(_image(tar, each) for each in listed)
    if {f"sha256:{each.digest}" for each in images} != wanted:
        raise CargoRefused("the archive holds other images than its lock names")
    return Shipment(tar=tar, images=images)


def text_of(tar: tarfile.TarFile, name: str) -> bytes:
    """Return a small file of an archive."""
    text = file_of(tar, name).read(TEXT_MAX + 1)
    if len(text) > TEXT_MAX:
        raise CargoRefused(f"`{name}` of the archive is too large")
    return text


def file_of(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    """Return a file of an archive, to be read."""
    found = tar.extractfile(name)
    if found is None:
        raise CargoRefused(f"`{name}` of the archive is no file")
    return found


def _harmless(member: tarfile.TarInfo, names: set[str]) -> bool:
    if member.name.startswith("/") or ".." in member.name.split("/"):
        return False
    if member.issym():
        target = posixpath.normpath(posixpath.join(posixpath.dirname(member.name), member.linkname))
        return target in names
    return member.isreg() or member.isdir()


def _image(tar: tarfile.TarFile, listed: _Listed) -> Image:
    configuration = text_of(tar, listed.config)
    digest = hashlib.sha256(configuration).hexdigest()
    if digest not in listed.config:
        raise CargoRefused("an image of the archive is not what its id says")
    expected = _Configuration.model_validate_json(configuration).rootfs.diff_ids
    layers = tuple(Layer(digest=_digest(tar, name), name=name) for name in listed.layers)
    if [f"sha256:{each.digest}" for each in layers] != expected:
        raise CargoRefused(f"a layer of sha256:{digest[:12]} is not the one that the image names")
    return Image(digest=digest, configuration=configuration, layers=layers)


def _digest(tar: tarfile.TarFile, name: str) -> str:
    content = file_of(tar, name)
    if _COMPRESSED.match(content.read(8)):
        raise CargoRefused("a layer of the archive is compressed")
    content.seek(0)
    state = hashlib.sha256()
    while chunk := content.read(CHUNK):
        state.update(chunk)
    return state.hexdigest()


def _told(image: Image) -> dict[str, object]:
    """Return what our list says of an image."""
    layers = [layer.place for layer in image.layers]
    return {"Config": f"{image.digest}.json", "RepoTags": None, "Layers": layers}


def _entry(name: str, content: IO[bytes]) -> Iterator[bytes]:
    """Yield one file of a tar."""
    head = tarfile.TarInfo(name)
    head.size = content.seek(0, io.SEEK_END)
    content.seek(0)
    yield head.tobuf(tarfile.PAX_FORMAT)
    while chunk := content.read(CHUNK):
        yield chunk
    yield bytes(-head.size % tarfile.BLOCKSIZE)
