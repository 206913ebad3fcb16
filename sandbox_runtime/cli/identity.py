"""`sandbox-broker identity`: who else may reach the broker, by a certificate or a token.

Law: a secret is written where nobody else can read it, or shown once. A broker that runs sees
what changed with its next request, and records it before it counts.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pydantic import ValidationError

from sandbox_runtime.cli.options import speaks, state_option
from sandbox_runtime.cli.output import USAGE, Failure
from sandbox_runtime.cli.task_live import Span
from sandbox_runtime.cli.wishes import day
from sandbox_runtime.destinations.json_text import MAX_SAFE_INTEGER, canonical
from sandbox_runtime.server import state as states
from sandbox_runtime.server.caller import Role
from sandbox_runtime.server.issuing import book
from sandbox_runtime.server.issuing.giving import (
    Wanted,
    give_certificate,
    give_token,
    micros,
)
from sandbox_runtime.server.issuing.giving import revoke as revoked

if TYPE_CHECKING:
    from sandbox_runtime.cli.output import Output
    from sandbox_runtime.server.issuing.book import Identity
    from sandbox_runtime.server.issuing.giving import Given
    from sandbox_runtime.strict import Json

_LONGEST = timedelta(days=3650)


@click.group("identity")
def command() -> None:
    """Issue certificates and tokens, list them, revoke them."""


@command.command("issue")
@click.option("--subject", required=True, help="Who that is to the manifests: `agent:reporting`.")
@click.option(
    "--role",
    "roles",
    type=click.Choice([role.value for role in Role]),
    multiple=True,
    required=True,
    help="What it may do; more than one may be given.",
)
@click.option("--claim", "claims", multiple=True, metavar="NAME=JSON", help="What else is known.")
@click.option(
    "--certificate/--token", "certified", default=True, show_default=True, help="What proves it."
)
@click.option("--expires", type=Span(), default="30d", show_default=True, help="After how long.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="A folder for what is issued."
)
@state_option
@speaks
def issue(
    output: Output,
    *,
    subject: str,
    roles: tuple[str, ...],
    claims: tuple[str, ...],
    certified: bool,
    expires: timedelta,
    out: Path | None,
    state: Path,
) -> None:
    """Make somebody known. A token without --out is shown once."""
    if certified and out is None:
        raise click.UsageError("a certificate needs --out FOLDER")
    if expires > _LONGEST:
        raise click.UsageError("nothing is issued for longer than 3650d")
    wanted = Wanted(
        subject=subject,
        roles=tuple(Role(role) for role in roles),
        claims=dict(_claim(one) for one in claims),
        lifetime=expires,
    )
    states.prepare(state)
    if out is not None:
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
    given = _given(book.place(state), wanted, certified=certified)
    files = _written(out, given) if out is not None else {}
    shown = given.token if out is None else None
    output.result({**_told(given.identity), "files": files, "token": shown})
    output.plain(f"{given.identity.id}: {subject} until {_until(given.identity)} UTC")
    output.table(("issued", "file"), files.items())
    if shown is not None:
        output.plain(f"export SANDBOX_BROKER_TOKEN={shown}")


@command.command("list")
@state_option
@speaks
def list_(output: Output, *, state: Path) -> None:
    """List all that was ever issued."""
    identities = book.read(book.place(state)).identities
    output.result({"identities": [_told(one) for one in identities]})
    output.table(
        ("id", "subject", "roles", "kind", "is", "until"),
        [
            (one.id, one.subject, " ".join(one.roles), one.kind, _is(one), _until(one))
            for one in identities
        ],
    )


@command.command("revoke")
@click.argument("identity")
@state_option
@speaks
def revoke(output: Output, *, identity: str, state: Path) -> None:
    """Have IDENTITY count no more, for good; its open connections are hung up on."""
    one = revoked(book.place(state), identity, now=datetime.now(UTC))
    output.result(_told(one))
    output.plain(f"{one.id} of {one.subject} counts no more")


def _given(directory: Path, wanted: Wanted, *, certified: bool) -> Given:
    give = give_certificate if certified else give_token
    try:
        return give(directory, wanted, now=datetime.now(UTC))
    except ValidationError as error:
        wrong = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
        mend = "a subject is like `agent:reporting`, a claim's name like `tenant`"
        raise Failure(f"`{wrong}` is not what it may be", mend, USAGE) from error


def _claim(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    mend = "write `--claim tenant=7`; strings need their quotes"
    try:
        claimed = json.loads(value)
        canonical(claimed)
    except (ValueError, RecursionError) as bad:
        raise Failure(f"`{text}` is no claim with its value", mend, USAGE) from bad
    fits = not isinstance(claimed, int) or abs(claimed) <= MAX_SAFE_INTEGER
    if not (name and fits and isinstance(claimed, str | int | float | bool)):
        raise Failure(f"`{text}` is no claim with its value", mend, USAGE)
    return name, claimed


def _written(out: Path, given: Given) -> dict[str, str]:
    """Write what proves it, each file where there was none."""
    pair = given.pair
    contents = {"ca": ("ca.pem", given.authority)}
    if pair is not None:
        contents["certificate"] = ("certificate.pem", pair.certificate)
        contents["key"] = ("key.pem", pair.key)
    if given.token is not None:
        contents["token"] = ("token", f"{given.token}\n".encode())
    for name, content in contents.values():
        _put(out / name, content)
    return {what: str(out / name) for what, (name, _) in contents.items()}


def _put(file: Path, content: bytes) -> None:
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(content)


def _is(identity: Identity) -> str:
    return identity.stands(micros(datetime.now(UTC)))


def _until(identity: Identity) -> str:
    return day(identity.expires_at)


def _told(identity: Identity) -> dict[str, Json]:
    told: dict[str, Json] = identity.model_dump(mode="json", exclude={"digest"})
    return {**told, "is": _is(identity)}
