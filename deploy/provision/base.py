"""Which image do the tools stand on?

Law: it is named by what it is, never by a tag that can move: an image of a registry by
its digest, or one built here from signed packages of the distribution. What it holds is
written to `build/base.json`.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from provision import archive, rootfs
from provision.commands import Commands
from provision.debian import Packages, Release, release
from provision.engine_api import EngineApi, EngineSaysNo, Image
from provision.places import Places
from provision.problem import Problem
from provision.steps import Intent

TAG = "sandbox-broker/base:local"
INPUTS = "sandbox-broker.inputs"
"""The label that says from what an image was built."""
PACKAGES = ("base-files", "ca-certificates", "libstdc++6", "netbase", "python3", "tzdata")
"""Python and what its wheels expect of a system (PEP 600); libraries follow by dependency."""
IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}")
BY_DIGEST = re.compile(r"(?P<name>[^@\s]+)@(?P<digest>sha256:[0-9a-f]{64})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Base:
    """The step that ends with a base image in the engine."""

    places: Places
    api: EngineApi
    packages: Packages
    commands: Commands
    wanted: str | None
    """`BASE`: an image id, or a name with a digest. Left out, one is built."""
    again: bool = False
    """Build it from today's packages even where one is there."""
    name: str = "base image"

    def intent(self) -> Intent:
        """Say where the image comes from."""
        if self.wanted:
            return Intent(words=f"use {self.wanted}")
        if self.again:
            return Intent(words=f"build {TAG} from today's packages of this distribution")
        built = self._built() is not None
        return Intent(words=f"use {TAG}" + ("" if built else ", built from packages if missing"))

    def act(self) -> str:
        """Find, pull or build the image; write its record; return its id."""
        if self.wanted:
            image = self._given(self.wanted)
            self._record(image.id, self.wanted, {})
            return f"{short(image.id)}, {self.wanted}"
        if not self.again and (built := self._built()):
            return f"{short(built.id)}, {TAG}"
        return f"{short(self._build())}, {TAG}"

    def id(self) -> str:
        """Return the image id that `act` recorded."""
        return str(json.loads(self.places.base_record.read_text())["image"])

    def _given(self, wanted: str) -> Image:
        named = BY_DIGEST.fullmatch(wanted)
        if not named and not IMAGE_ID.fullmatch(wanted):
            raise Problem(
                f"BASE is `{wanted}`, which can name another image tomorrow",
                "give BASE=<name>@sha256:<digest>, or the id of an image the engine has",
            )
        if image := self.api.image(wanted):
            return image
        if named:
            self._pull(named["name"], named["digest"])
        if image := self.api.image(wanted):
            return image
        raise Problem(
            f"the engine has no image `{wanted}`", "load it (`docker load`), run this again"
        )

    def _pull(self, name: str, digest: str) -> None:
        try:
            self.api.pull(name, digest)
        except EngineSaysNo as no:
            raise Problem(
                f"`{name}@{digest}` cannot be pulled: {no}",
                "check the registry and the digest",
                "or leave BASE out, and the image is built from this distribution's packages",
            ) from no

    def _built(self) -> Image | None:
        """Return the image that was built from these inputs, if the engine still has it."""
        try:
            image = self.api.image(TAG)
            recorded = self.id()
        except (OSError, KeyError, ValueError):
            return None
        fresh = image and image.labels.get(INPUTS) == inputs() and image.id == recorded
        return image if fresh else None

    def _build(self) -> str:
        here = release()
        if here is None:
            raise Problem(
                "the base image is built from packages of Debian or Ubuntu, and this is neither",
                "give BASE=<name>@sha256:<digest>: any image with Python 3.11 or later",
            )
        debs = self._download(here)
        image = self._assemble(debs)
        self._record(image, TAG, _versions(debs))
        return image

    def _download(self, here: Release) -> list[Path]:
        """Fetch the packages and all they depend on; apt checks them against signed lists."""
        cache = self.places.build / "base" / "packages"
        (cache / "partial").mkdir(parents=True, exist_ok=True)
        command = ["apt-get", "-q", "--yes", "--download-only", *_options(here, cache.parent)]
        command += ["install", *PACKAGES]
        mend = "check the machine's package sources, then run this again"
        for stale in cache.glob("*.deb"):
            stale.unlink()
        try:
            self.commands.run(command, mend=mend, LC_ALL="C")
        except Problem:
            self.packages.refresh()
            self.commands.run(command, mend=mend, LC_ALL="C")
        return sorted(cache.glob("*.deb"))

    def _assemble(self, debs: list[Path]) -> str:
        room = self.places.build / "base"
        tree, layer, image = room / "tree", room / "layer.tar", room / "image.tar"
        epoch = rootfs.unpack(debs, tree)
        rootfs.compile_library(tree, self.commands)
        rootfs.pack(tree, layer, epoch)
        config = archive.configuration(
            layer=layer,
            machine=platform.machine(),
            user=f"{rootfs.UID}:{rootfs.UID}",
            labels={INPUTS: inputs()},
            epoch=epoch,
        )
        archive.write(image, config=config, layer=layer, tag=TAG)
        self.api.load(image)
        rootfs.clear(tree, layer, image)
        return self._loaded()

    def _loaded(self) -> str:
        image = self.api.image(TAG)
        if image is None:
            raise Problem("the engine loaded the base image and does not have it", "run this again")
        return image.id

    def _record(self, image: str, source: str, packages: Mapping[str, str]) -> None:
        record = {"image": image, "source": source, "inputs": inputs(), "packages": packages}
        self.places.base_record.parent.mkdir(parents=True, exist_ok=True)
        self.places.base_record.write_text(json.dumps(record, indent=1) + "\n")


def short(image: str) -> str:
    """Return as much of an image id as people compare."""
    return image.removeprefix("sha256:")[:12]


def inputs() -> str:
    """Return the digest of what decides the image, apart from the packages' versions."""
    recipe = b"".join(Path(module.__file__ or "").read_bytes() for module in (rootfs, archive))
    rest = " ".join((platform.machine(), *PACKAGES))
    return hashlib.sha256(recipe + rest.encode()).hexdigest()


def _options(here: Release, room: Path) -> list[str]:
    """Resolve as on an empty machine, and take only what the distribution itself signed."""
    (room / "status").write_text("")
    pins = [f"{here.codename}{part}" for part in ("", "-updates", "-security")]
    stanzas = (
        f"Package: *\nPin: release o={here.origin},n={pin}\nPin-Priority: 990\n" for pin in pins
    )
    (room / "preferences").write_text("\n".join(stanzas))
    return [
        f"-oDir::State::status={room / 'status'}",
        f"-oDir::Cache::archives={room / 'packages'}",
        f"-oDir::Etc::preferences={room / 'preferences'}",
        "-oDir::Etc::preferencesparts=-",
        "-oAPT::Install-Recommends=false",
        "-oAPT::Sandbox::User=root",
        "-oDebug::NoLocking=true",
    ]


def _versions(debs: list[Path]) -> dict[str, str]:
    """Read name and version off the files that apt fetched (`name_version_arch.deb`)."""
    rows = (deb.name.split("_") for deb in debs)
    versions = {name: version.replace("%3a", ":") for name, version, _ in rows}
    return {name: versions[name] for name in sorted(versions.keys() - rootfs.NOT_NEEDED)}
