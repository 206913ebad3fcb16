from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID

from sandbox_runtime.client import BrokerError, CallRefused, DeadlineExceeded
from sandbox_runtime.records import AuthRefused, IdentityIssued, IdentityRevoked, TaskOpened
from sandbox_runtime.server.caller import Role
from sandbox_runtime.server.issuing import book
from sandbox_runtime.server.issuing.authority import Authority
from sandbox_runtime.server.issuing.giving import revoke
from sandbox_runtime.server.listening import ListenRefused
from sandbox_runtime.server.settings import Client, Clients
from sandbox_runtime.v1 import broker_pb2 as pb
from tests.support.eventually import eventually
from tests.support.identities import ask, channel, issue, listen
from tests.support.serving import SUBJECT, served
from tests.support.wire_calls import info, refused, send

if TYPE_CHECKING:
    from tests.support.identities import Holder
    from tests.support.serving import Served

OPEN = pb.OpenTaskRequest(manifest="greeting", variables_json='{"friend":"Ada"}')
ADA = {"name": "Ada"}


def tls(here: Served) -> str:
    assert here.ready.tls is not None
    return here.ready.tls


def state(here: Served) -> Path:
    return Path(here.settings.state_dir)


async def counted(here: Served) -> dict[str, int]:
    """Stop the broker; return why it turned whom away."""
    await here.stop()
    found = [each.reasons for each in here.records() if isinstance(each, AuthRefused)]
    return {reason: count for each in found for reason, count in each.items()}


async def turned_away(
    through: grpc.aio.Channel, metadata: tuple[tuple[str, str], ...] = ()
) -> grpc.aio.AioRpcError:
    async with through:
        error = await ask(through, "OpenTask", OPEN, metadata)
    assert isinstance(error, grpc.aio.AioRpcError)
    return error


async def test_who_holds_an_issued_certificate_is_who_it_says(tmp_path: Path) -> None:
    holder = issue(tmp_path / "state")
    async with served(tmp_path, listen=listen(tmp_path)) as here:
        async with (
            holder.client(tls(here)) as broker,
            await broker.open_task("greeting", variables={"friend": "Ada"}) as task,
        ):
            assert (await task.call("greet", ADA)).ok
        issued, opened = (
            next(each for each in here.records() if isinstance(each, kind))
            for kind in (IdentityIssued, TaskOpened)
        )
    assert isinstance(opened, TaskOpened)
    assert isinstance(issued, IdentityIssued)
    assert (issued.identity, issued.subject, issued.roles) == (
        holder.id,
        SUBJECT,
        ("opener", "agent"),
    )
    assert (opened.subject, opened.identity) == (SUBJECT, holder.id)
    assert opened.certificate == holder.given.identity.digest


async def test_what_is_issued_while_the_broker_runs_counts_once_it_is_recorded(
    tmp_path: Path,
) -> None:
    async with served(tmp_path, listen=listen(tmp_path)) as here:
        holder = issue(state(here))
        async with holder.client(tls(here)) as broker:
            await broker.open_task("greeting", variables={"friend": "Ada"})
        kinds = here.kinds()
    assert kinds.index("operator.identity_issued") < kinds.index("task.opened")


async def test_who_shows_no_certificate_is_not_even_heard(tmp_path: Path) -> None:
    holder = issue(tmp_path / "state")
    async with served(tmp_path, listen=listen(tmp_path)) as here:
        error = await turned_away(holder.channel(tls(here), certified=False))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert (await counted(here)).keys() == {"no_handshake"}


async def test_a_certificate_of_another_broker_opens_nothing(tmp_path: Path) -> None:
    issue(tmp_path / "state")
    foreign = issue(tmp_path / "elsewhere")
    async with served(tmp_path, listen=listen(tmp_path)) as here:
        ca = (book.place(state(here)) / "ca.pem").read_bytes()
        pair = foreign.given.pair
        assert pair is not None
        error = await turned_away(channel(tls(here), ca, (pair.key, pair.certificate)))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert (await counted(here)).keys() == {"wrong_certificate"}


async def test_the_client_takes_no_broker_of_another_authority(tmp_path: Path) -> None:
    foreign = issue(tmp_path / "elsewhere")
    async with served(tmp_path, listen=listen(tmp_path)) as here:
        error = await turned_away(foreign.channel(tls(here)))
    assert error.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_certificate_that_our_authority_signed_and_no_book_names_opens_nothing(
    tmp_path: Path,
) -> None:
    holder = issue(tmp_path / "state")
    async with served(tmp_path, listen=listen(tmp_path)) as here:
        signer = Authority.of(book.place(state(here)))
        pair = signer.caller(SUBJECT, datetime.now(UTC) + timedelta(hours=1))
        own = (pair.key, pair.certificate)
        error = await turned_away(channel(tls(here), holder.given.authority, own))
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        assert (await counted(here)).keys() == {"unknown_certificate"}


async def test_the_broker_s_own_certificate_makes_nobody_a_caller(tmp_path: Path) -> None:
    issue(tmp_path / "state")
    async with served(tmp_path, listen=listen(tmp_path)) as here:
        signer = Authority.of(book.place(state(here)))
        pair = signer.broker(["127.0.0.1"], datetime.now(UTC) + timedelta(hours=1))
        own = (pair.key, pair.certificate)
        error = await turned_away(channel(tls(here), signer.pem, own))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert (await counted(here)).keys() == {"wrong_certificate"}


@pytest.mark.parametrize("kind", ["certificate", "token"])
async def test_what_is_expired_opens_nothing(tmp_path: Path, kind: str) -> None:
    before = datetime.now(UTC) - timedelta(minutes=2)
    holder = issue(tmp_path / "state", kind, now=before, lifetime=timedelta(minutes=1))
    async with served(tmp_path, listen=listen(tmp_path, tokens=True)) as here:
        shown = holder.bearer if kind == "token" else ()
        error = await turned_away(holder.channel(tls(here)), shown)
        codes = {"token": grpc.StatusCode.UNAUTHENTICATED}
        assert error.code() is codes.get(kind, grpc.StatusCode.UNAVAILABLE)
        reasons = {"token": {"expired"}, "certificate": {"wrong_certificate"}}
        assert (await counted(here)).keys() == reasons[kind]


@pytest.mark.parametrize("kind", ["certificate", "token"])
async def test_what_is_revoked_counts_no_more_though_its_connection_is_open(
    tmp_path: Path, kind: str
) -> None:
    holder = issue(tmp_path / "state", kind)
    shown = holder.bearer if kind == "token" else ()
    async with (
        served(tmp_path, listen=listen(tmp_path, tokens=True)) as here,
        holder.channel(tls(here)) as through,
    ):
        assert isinstance(await ask(through, "OpenTask", OPEN, shown), bytes)
        revoke(book.place(state(here)), holder.id, now=datetime.now(UTC))
        error = await ask(through, "OpenTask", OPEN, shown)
        assert isinstance(error, grpc.aio.AioRpcError)
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        revoked = [each for each in here.records() if isinstance(each, IdentityRevoked)]
        assert [(each.identity, each.cause) for each in revoked] == [(holder.id, "revoked")]


async def test_whoever_is_revoked_is_hung_up_on(tmp_path: Path) -> None:
    holder = issue(tmp_path / "state")
    async with (
        served(tmp_path, listen=listen(tmp_path)) as here,
        holder.channel(tls(here)) as through,
    ):
        assert isinstance(await ask(through, "OpenTask", OPEN), bytes)
        revoke(book.place(state(here)), holder.id, now=datetime.now(UTC))
        await eventually(lambda: through.get_state() is not grpc.ChannelConnectivity.READY)


@pytest.mark.parametrize("kind", ["certificate", "token"])
async def test_whoever_is_revoked_while_a_call_runs_gets_no_answer(
    tmp_path: Path, kind: str
) -> None:
    holder = issue(tmp_path / "state", kind)
    async with served(tmp_path, listen=listen(tmp_path, tokens=True)) as here:
        here.sandbox.held = True
        async with holder.client(tls(here)) as broker:
            task = await broker.open_task("greeting", variables={"friend": "Ada"})
            calling = asyncio.create_task(task.call("greet", ADA, timeout=5))
            await eventually(lambda: here.sandbox.planned and here.sandbox.planned[0].started)
            revoke(book.place(state(here)), holder.id, now=datetime.now(UTC))
            await eventually(lambda: "operator.identity_revoked" in here.kinds())
            here.sandbox.planned[0].let_go.set()
            with pytest.raises(BrokerError) as error:
                await calling
            assert not isinstance(error.value, DeadlineExceeded)


async def test_revoking_outlives_a_restart_and_a_book_that_says_otherwise(tmp_path: Path) -> None:
    holder = issue(tmp_path / "state")
    directory = book.place(tmp_path / "state")
    before = book.path(directory).read_bytes()
    async with served(tmp_path, listen=listen(tmp_path)):
        pass
    revoke(directory, holder.id, now=datetime.now(UTC))
    async with served(tmp_path, listen=listen(tmp_path)) as here:
        book.put(book.path(directory), before)
        error = await turned_away(holder.channel(tls(here)))
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        assert here.kinds().count("operator.identity_revoked") == 1


async def test_a_book_that_gives_more_than_was_recorded_gives_nothing(tmp_path: Path) -> None:
    holder = issue(tmp_path / "state", roles=(Role.AGENT,))
    directory = book.place(tmp_path / "state")
    async with served(tmp_path, listen=listen(tmp_path)) as here:
        book.change(
            directory,
            lambda it: it.model_copy(
                update={
                    "identities": (
                        it.identities[0].model_copy(update={"roles": (Role.OPENER, Role.AGENT)}),
                    )
                }
            ),
        )
        error = await turned_away(holder.channel(tls(here)))
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_who_is_gone_from_the_book_is_recorded_as_revoked(tmp_path: Path) -> None:
    holder = issue(tmp_path / "state")
    directory = book.place(tmp_path / "state")
    async with served(tmp_path, listen=listen(tmp_path)) as here:
        book.change(directory, lambda it: it.model_copy(update={"identities": ()}))
        error = await turned_away(holder.channel(tls(here)))
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        (record,) = [each for each in here.records() if isinstance(each, IdentityRevoked)]
    assert (record.identity, record.cause) == (holder.id, "missing")


@pytest.mark.parametrize("file", ["book.json", "token-key"])
async def test_what_others_could_read_counts_again_once_that_is_mended(
    tmp_path: Path, file: str
) -> None:
    holder = issue(tmp_path / "state", "token")
    open_to_others = book.place(tmp_path / "state") / file
    open_to_others.chmod(0o644)
    async with served(tmp_path, listen=listen(tmp_path, tokens=True)) as here:
        async with holder.channel(tls(here)) as through:
            assert not isinstance(await ask(through, "OpenTask", OPEN, holder.bearer), bytes)
            open_to_others.chmod(0o600)
            assert isinstance(await ask(through, "OpenTask", OPEN, holder.bearer), bytes)
        assert (await counted(here)).keys() == {"wrong_token"}


@pytest.mark.parametrize("spoilt", [b"{", b'{"v":1,"identities":[{}]}', b""])
async def test_a_book_that_cannot_be_read_knows_nobody_and_revokes_nobody(
    tmp_path: Path, spoilt: bytes
) -> None:
    holder = issue(tmp_path / "state")
    directory = book.place(tmp_path / "state")
    async with served(tmp_path, listen=listen(tmp_path)) as here:
        before = book.path(directory).read_bytes()
        book.put(book.path(directory), spoilt)
        error = await turned_away(holder.channel(tls(here)))
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        book.put(book.path(directory), before)
        async with holder.client(tls(here)) as broker:
            await broker.open_task("greeting", variables={"friend": "Ada"})
        assert "operator.identity_revoked" not in here.kinds()


async def test_nothing_below_tls_1_3_is_spoken(tmp_path: Path) -> None:
    holder = issue(tmp_path / "state")
    async with served(tmp_path, listen=listen(tmp_path)) as here:
        rules = ssl.create_default_context(cafile=str(holder.ca))
        rules.maximum_version = ssl.TLSVersion.TLSv1_2
        rules.load_cert_chain(holder.files / "certificate.pem", holder.files / "key.pem")
        host, _, port = tls(here).rpartition(":")
        with pytest.raises(OSError):  # noqa: PT011 - an alert, or hung up on before it is read
            await asyncio.open_connection(host, int(port), ssl=rules)
        assert (await counted(here)).keys() == {"no_handshake"}


async def test_plaintext_gets_no_word_out_of_the_port_with_tls(tmp_path: Path) -> None:
    async with served(tmp_path, listen=listen(tmp_path)) as here:
        answer = await send(tls(here), "OpenTask", OPEN)
        assert isinstance(answer, grpc.aio.AioRpcError)
        assert answer.code() is grpc.StatusCode.UNAVAILABLE
        assert (await counted(here)).keys() == {"no_handshake"}


async def test_many_failed_handshakes_become_one_record(tmp_path: Path) -> None:
    async with served(tmp_path, listen=listen(tmp_path)) as here:
        host, _, port = tls(here).rpartition(":")
        for _ in range(50):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await reader.read()
            writer.close()
        await here.stop()
        (record,) = [each for each in here.records() if isinstance(each, AuthRefused)]
    assert record.reasons == {"no_handshake": 50}


async def test_connections_of_one_address_are_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox_runtime.server.tls.MAX_OF_ADDRESS", 2)
    async with served(tmp_path, listen=listen(tmp_path)) as here:
        host, _, port = tls(here).rpartition(":")
        held = [await asyncio.open_connection(host, int(port)) for _ in range(2)]
        reader, writer = await asyncio.open_connection(host, int(port))
        assert await reader.read() == b""
        for _, each in (*held, (reader, writer)):
            each.close()
        assert (await counted(here))["too_many_connections"] == 1


async def test_a_task_token_is_worth_nothing_beside_another_certificate(tmp_path: Path) -> None:
    owner, thief = issue(tmp_path / "state"), issue(tmp_path / "state")
    async with (
        served(tmp_path, listen=listen(tmp_path, tokens=True)) as here,
        owner.client(tls(here)) as broker,
        thief.channel(tls(here)) as other,
    ):
        task = await broker.open_task("greeting", variables={"friend": "Ada"})
        stolen = (("task-token", task.token),)
        asked = pb.ListToolsRequest(task_id=task.id)
        unknown = pb.ListToolsRequest(task_id="t-0123456789abcdef")
        answers = [await ask(other, "ListTools", each, stolen) for each in (asked, unknown)]
        answers += [await send(here.unix, "ListTools", each, stolen) for each in (asked, unknown)]
        seen = set()
        for error in answers:
            assert isinstance(error, grpc.aio.AioRpcError)
            seen.add((error.code(), error.details(), tuple(error.trailing_metadata())))
        assert len(seen) == 1
        assert next(iter(seen))[0] is grpc.StatusCode.NOT_FOUND
        assert await task.tools()


async def test_a_task_stays_bound_to_its_certificate_over_a_restart(tmp_path: Path) -> None:
    owner, thief = issue(tmp_path / "state"), issue(tmp_path / "state")
    async with (
        served(tmp_path, listen=listen(tmp_path)) as here,
        owner.client(tls(here)) as broker,
    ):
        task = await broker.open_task("greeting", variables={"friend": "Ada"})
    async with served(tmp_path, listen=listen(tmp_path)) as here:
        async with owner.client(tls(here)) as broker:
            assert await broker.task(task.id, task.token).tools()
        async with thief.client(tls(here)) as broker:
            with pytest.raises(CallRefused, match="no such task"):
                await broker.task(task.id, task.token).tools()


async def test_whoever_holds_a_token_needs_no_certificate_where_settings_say_so(
    tmp_path: Path,
) -> None:
    holder = issue(tmp_path / "state", "token")
    async with (
        served(tmp_path, listen=listen(tmp_path, tokens=True)) as here,
        holder.client(tls(here)) as broker,
    ):
        task = await broker.open_task("greeting", variables={"friend": "Ada"})
        assert (await task.call("greet", ADA)).ok
    async with served(tmp_path, listen=listen(tmp_path)) as here:
        error = await turned_away(holder.channel(tls(here)), holder.bearer)
    assert error.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.APPROVER])
async def test_an_issued_identity_has_its_roles_and_no_other(tmp_path: Path, role: Role) -> None:
    holder = issue(tmp_path / "state", "token", roles=(role,))
    async with served(tmp_path, listen=listen(tmp_path, tokens=True)) as here:
        error = await turned_away(holder.channel(tls(here)), holder.bearer)
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    assert info(error).reason == "ROLE_MISSING"


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        pytest.param((), "no_token", id="nothing"),
        pytest.param((("authorization", "Bearer x"),), "wrong_token", id="no token of ours"),
        pytest.param((("authorization", "{foreign}"),), "wrong_token", id="another broker's"),
        pytest.param((("authorization", "Bearer {mixed}"),), "wrong_token", id="of another id"),
        pytest.param((("authorization", "{token}"),), "wrong_token", id="no scheme"),
        pytest.param((("task-token", "{token}"),), "no_token", id="as a task's token"),
        pytest.param((("authorization", "Bearer {token}"),) * 2, "wrong_token", id="twice"),
        pytest.param((("authorization", "Bearer {dev}"),), "wrong_token", id="loopback's token"),
    ],
)
async def test_no_other_token_opens_anything(
    tmp_path: Path, shown: tuple[tuple[str, str], ...], reason: str
) -> None:
    holder, other = (issue(tmp_path / "state", "token") for _ in range(2))
    foreign = issue(tmp_path / "elsewhere", "token")
    async with served(tmp_path, listen=listen(tmp_path, tokens=True)) as here:
        named = {
            "token": holder.token,
            "foreign": f"Bearer {foreign.token}",
            "mixed": holder.token.replace(holder.id, other.id),
            "dev": here.token,
        }
        metadata = tuple((key, value.format(**named)) for key, value in shown)
        error = await turned_away(holder.channel(tls(here)), metadata)
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        assert info(error).reason == "UNAUTHENTICATED"
        assert await counted(here) == {reason: 1}


async def test_a_token_counts_on_no_other_door(tmp_path: Path) -> None:
    token, certificate = issue(tmp_path / "state", "token"), issue(tmp_path / "state")
    async with served(tmp_path, listen=listen(tmp_path, tokens=True)) as here:
        for address in (here.unix, here.loopback):
            error = await refused(address, "OpenTask", OPEN, token.bearer)
            assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        error = await turned_away(certificate.channel(tls(here)), token.bearer)
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        assert await counted(here) == {"misplaced_token": 2, "wrong_token": 1}


async def test_oversized_metadata_is_refused_and_the_connection_lives_on(tmp_path: Path) -> None:
    holder = issue(tmp_path / "state")
    async with (
        served(tmp_path, listen=listen(tmp_path)) as here,
        holder.channel(tls(here)) as through,
    ):
        large = (("task-token", "x" * 100_000),)
        error = await ask(through, "OpenTask", OPEN, large)
        assert isinstance(error, grpc.aio.AioRpcError)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert isinstance(await ask(through, "OpenTask", OPEN), bytes)


async def test_an_operator_s_own_authority_takes_the_place_of_ours(tmp_path: Path) -> None:
    directory = tmp_path / "company"
    directory.mkdir()
    company, ours = Authority.of(directory), issue(tmp_path / "state")
    named = company.caller("agent:them", datetime.now(UTC) + timedelta(hours=1))
    nobody = company.caller("agent:nobody", datetime.now(UTC) + timedelta(hours=1))
    one = Client(uri="sandbox-broker://subject/agent:them", subject=SUBJECT)
    clients = Clients(ca=str(directory / "ca.pem"), identities=(one,))
    async with served(tmp_path, listen=listen(tmp_path, clients=clients)) as here:
        ca = ours.given.authority
        async with channel(tls(here), ca, (named.key, named.certificate)) as through:
            assert isinstance(await ask(through, "OpenTask", OPEN), bytes)
        error = await turned_away(channel(tls(here), ca, (nobody.key, nobody.certificate)))
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        error = await turned_away(ours.channel(tls(here)))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        (opened,) = [each for each in here.records() if isinstance(each, TaskOpened)]
    assert (opened.subject, opened.certificate) == (SUBJECT, named.fingerprint)


@pytest.mark.parametrize(
    ("names", "stranger"),
    [
        pytest.param("a3023000", "wrong_certificate", id="an address of X.400"),
        pytest.param("a504a1020c00", "wrong_certificate", id="a name of EDI"),
        pytest.param("02020203", "wrong_certificate", id="no names at all"),
        pytest.param("{them}{others}", "unknown_certificate", id="two that the settings name"),
        pytest.param("{them_and_nul}", "unknown_certificate", id="one that a NUL lengthens"),
    ],
)
async def test_odd_names_in_a_certificate_make_nobody_a_caller(
    tmp_path: Path, names: str, stranger: str
) -> None:
    directory = tmp_path / "company"
    directory.mkdir()
    company, ours = Authority.of(directory), issue(tmp_path / "state")
    written = names.format(
        them=uri("urn:them"), others=uri("urn:others"), them_and_nul=uri("urn:them\0x")
    )
    own = signed(company, bytes.fromhex(f"30{len(written) // 2:02x}{written}"))
    known = [Client(uri=f"urn:{name}", subject=SUBJECT) for name in ("them", "others")]
    clients = Clients(ca=str(directory / "ca.pem"), identities=tuple(known))
    async with served(tmp_path, listen=listen(tmp_path, clients=clients)) as here:
        await turned_away(channel(tls(here), ours.given.authority, own))
        async with channel(
            tls(here),
            ours.given.authority,
            signed(company, bytes.fromhex(f"300a{uri('urn:them')}")),
        ) as through:
            assert isinstance(await ask(through, "OpenTask", OPEN), bytes)
        assert (await counted(here)).keys() == {stranger}


def uri(text: str) -> str:
    return f"86{len(text):02x}{text.encode().hex()}"


def signed(authority: Authority, names: bytes) -> tuple[bytes, bytes]:
    """Return the key and the certificate of a caller, with these very names in it."""
    made = authority.caller("agent:odd", datetime.now(UTC) + timedelta(hours=1))
    like = x509.load_pem_x509_certificate(made.certificate)
    builder = x509.CertificateBuilder(
        like.issuer, like.subject, like.public_key(), like.serial_number
    )
    builder = builder.not_valid_before(like.not_valid_before_utc).not_valid_after(
        like.not_valid_after_utc
    )
    odd = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, names)
    for each in like.extensions:
        is_names = each.oid == ExtensionOID.SUBJECT_ALTERNATIVE_NAME
        builder = builder.add_extension(odd if is_names else each.value, each.critical)
    certificate = builder.sign(authority._key, SHA256())  # noqa: SLF001 - as a foolish authority signs
    return made.key, certificate.public_bytes(Encoding.PEM)


async def test_a_key_that_others_can_read_is_no_key(tmp_path: Path) -> None:
    holder = issue(tmp_path / "state")
    (holder.files / "key.pem").chmod(0o640)
    own = {
        "certificate": str(holder.files / "certificate.pem"),
        "key": str(holder.files / "key.pem"),
    }
    with pytest.raises(ListenRefused, match="others may read"):
        async with served(tmp_path, listen=listen(tmp_path, **own)):
            pass


def test_no_secret_is_kept(tmp_path: Path) -> None:
    holders: list[Holder] = [issue(tmp_path / "state", kind) for kind in ("token", "certificate")]
    key = holders[1].given.pair
    assert key is not None
    for file in (tmp_path / "state").rglob("*"):
        assert file.stat().st_mode & 0o077 == 0
        if file.is_file():
            kept = file.read_bytes()
            assert holders[0].token.encode() not in kept
            assert holders[0].token.rpartition(".")[2].encode() not in kept
            assert key.key not in kept
    assert holders[0].token not in repr(replace(holders[0].given))
