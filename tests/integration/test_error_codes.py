"""Every error code through HTTP: one request a code that ends in it, with the status of the table."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from chitram.domain.errors import ServiceUnavailable
from chitram.domain.idempotency import IdempotencyKey
from chitram.entrypoints.support.errors import DEFAULT_RETRY_AFTER, STATUS_BY_CODE
from chitram.settings import AccountSettings, AppSettings, LimitSettings, Settings, StorageSettings, UploadSettings
from tests.factories.accounts import AUTH, PASSWORD, browser_signed_in, signed_up
from tests.factories.applications import House, house
from tests.factories.interleaving import failing, interpose
from tests.integration.requests import IMAGES, UNKNOWN, UPLOAD, code, form, photo, post, token, uploaded

#: These name what the command line asks for.
NOT_BY_HTTP = {"USER_NOT_FOUND"}


class Bench:
    """A service over `directory` that a case sets up as it needs it."""

    def __init__(self, directory: Path, stack: AsyncExitStack) -> None:
        self._directory = directory
        self._stack = stack

    async def open(self, *, read_only: bool = False, **groups) -> tuple[House, httpx.AsyncClient]:
        app = AppSettings(env="test", data_dir=self._directory, read_only=read_only)
        settings = Settings(app=app, **groups)
        home = await self._stack.enter_async_context(house(self._directory, settings=settings, arrange=interpose))
        return home, await self._stack.enter_async_context(home.client())


async def invalid_file_format(bench: Bench) -> httpx.Response:
    _, client = await bench.open()
    return await post(client, b"GIF89a is off")


async def invalid_request(bench: Bench) -> httpx.Response:
    _, client = await bench.open()
    return await post(client, b"")


async def unauthorized(bench: Bench) -> httpx.Response:
    _, client = await bench.open()
    return await client.get(IMAGES, headers={"Authorization": "Bearer x"})


async def token_expired(bench: Bench) -> httpx.Response:
    home, client = await bench.open()
    account = await signed_up(client)
    home.clock.advance(timedelta(days=2))
    return await client.get(f"{AUTH}/me", headers=account.bearer)


async def invalid_credentials(bench: Bench) -> httpx.Response:
    _, client = await bench.open()
    return await client.post(f"{AUTH}/login", json={"email": "ada@example.org", "password": PASSWORD})


async def forbidden(bench: Bench) -> httpx.Response:
    _, client = await bench.open()
    image = await uploaded(client)
    return await client.patch(f"{IMAGES}/{image['id']}", json={})


async def csrf_refused(bench: Bench) -> httpx.Response:
    _, client = await bench.open()
    await browser_signed_in(client, await signed_up(client))
    return await client.post(f"{AUTH}/logout")


async def registration_closed(bench: Bench) -> httpx.Response:
    _, client = await bench.open(accounts=AccountSettings(registration="closed"))
    return await client.post(f"{AUTH}/register", json={"email": "ada@example.org", "password": PASSWORD})


async def invalid_invite(bench: Bench) -> httpx.Response:
    _, client = await bench.open(accounts=AccountSettings(registration="invite"))
    return await client.post(f"{AUTH}/register", json={"email": "ada@example.org", "password": PASSWORD})


async def email_exists(bench: Bench) -> httpx.Response:
    _, client = await bench.open()
    account = await signed_up(client)
    return await client.post(f"{AUTH}/register", json={"email": account.email, "password": PASSWORD})


async def session_not_found(bench: Bench) -> httpx.Response:
    _, client = await bench.open()
    account = await signed_up(client)
    return await client.delete(f"{AUTH}/sessions/{UNKNOWN}", headers=account.bearer)


async def token_not_found(bench: Bench) -> httpx.Response:
    _, client = await bench.open()
    account = await signed_up(client)
    return await client.delete(f"{AUTH}/tokens/{UNKNOWN}", headers=account.bearer)


async def idempotency_key_in_use(bench: Bench) -> httpx.Response:
    home, client = await bench.open()
    key = IdempotencyKey("address:192.0.2.7", "0123456789abcdef")
    async with home.application.uploads.hold(key):
        return await post(client, headers={"Idempotency-Key": key.key})


async def idempotency_key_reused(bench: Bench) -> httpx.Response:
    _, client = await bench.open()
    key = {"Idempotency-Key": "0123456789abcdef"}
    await uploaded(client, headers=key)
    return await post(client, photo(1), headers=key)


async def quota_exceeded(bench: Bench) -> httpx.Response:
    _, client = await bench.open(accounts=AccountSettings(quota_files=1))
    account = await signed_up(client)
    await uploaded(client, headers=account.bearer)
    return await post(client, headers=account.bearer)


async def delete_token_required(bench: Bench) -> httpx.Response:
    _, client = await bench.open()
    image = await uploaded(client)
    return await client.delete(f"{IMAGES}/{image['id']}")


async def invalid_delete_token(bench: Bench) -> httpx.Response:
    _, client = await bench.open()
    image, other = await uploaded(client), await uploaded(client)
    return await client.delete(f"{IMAGES}/{image['id']}", headers=token(other))


async def not_found(bench: Bench) -> httpx.Response:
    _, client = await bench.open()
    return await client.get("/nowhere")


async def image_not_found(bench: Bench) -> httpx.Response:
    _, client = await bench.open()
    return await client.get(f"{IMAGES}/{UNKNOWN}")


async def thumbnail_not_ready(bench: Bench) -> httpx.Response:
    _, client = await bench.open(uploads=UploadSettings(thumbnail_mode="background"))
    return await client.get((await uploaded(client))["thumbnail_url"])


async def method_not_allowed(bench: Bench) -> httpx.Response:
    _, client = await bench.open()
    return await client.put(IMAGES)


async def request_timeout(bench: Bench) -> httpx.Response:
    _, client = await bench.open(uploads=UploadSettings(deadline=0.05))

    async def stalled() -> AsyncIterator[bytes]:
        yield form(photo())[0][:100]
        await asyncio.sleep(3600)

    return await client.post(UPLOAD, content=stalled(), headers=form(b"")[1])


async def file_too_large(bench: Bench) -> httpx.Response:
    _, client = await bench.open(uploads=UploadSettings(max_file_size_mb=1))
    return await post(client, bytes(1024 * 1024 + 1))


async def range_not_satisfiable(bench: Bench) -> httpx.Response:
    _, client = await bench.open()
    return await client.get((await uploaded(client))["url"], headers={"Range": "bytes=99999999-"})


async def precondition_failed(bench: Bench) -> httpx.Response:
    _, client = await bench.open()
    return await client.get((await uploaded(client))["url"], headers={"If-Match": '"another"'})


async def checksum_mismatch(bench: Bench) -> httpx.Response:
    _, client = await bench.open()
    return await post(client, headers={"Repr-Digest": "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"})


async def validation_error(bench: Bench) -> httpx.Response:
    _, client = await bench.open()
    return await client.get(IMAGES, params={"limit": "1000"})


async def rate_limit_exceeded(bench: Bench) -> httpx.Response:
    _, client = await bench.open(limits=LimitSettings(per_minute=1))
    await uploaded(client)
    return await post(client)


async def internal_error(bench: Bench) -> httpx.Response:
    home, client = await bench.open()
    image = await uploaded(client)
    home.foundation.blobs.before["open"].append(failing(RuntimeError("a bug")))
    return await client.get(image["url"])


async def service_unavailable(bench: Bench) -> httpx.Response:
    home, client = await bench.open()
    home.foundation.database.before["read"].append(failing(ServiceUnavailable()))
    return await client.get(IMAGES)


async def storage_unavailable(bench: Bench) -> httpx.Response:
    home, client = await bench.open()
    image = await uploaded(client)
    for key in home.objects():
        home.store.erase(key)
    return await client.get(image["url"])


async def upload_busy(bench: Bench) -> httpx.Response:
    home, client = await bench.open(uploads=UploadSettings(concurrency_limit=1, concurrency_timeout=0.01))
    async with home.application.admission.slot(address="198.51.100.9"):
        return await post(client)


async def storage_full(bench: Bench) -> httpx.Response:
    _, client = await bench.open(storage=StorageSettings(reserve_mb=1_000_000_000))
    return await post(client)


Case = Callable[[Bench], Awaitable[httpx.Response]]


async def read_only(bench: Bench) -> httpx.Response:
    _, client = await bench.open(read_only=True)
    return await post(client)


CASES: dict[str, Case] = {
    case.__name__.upper(): case
    for case in (
        invalid_file_format,
        read_only,
        invalid_request,
        unauthorized,
        token_expired,
        invalid_credentials,
        forbidden,
        csrf_refused,
        registration_closed,
        invalid_invite,
        email_exists,
        session_not_found,
        token_not_found,
        idempotency_key_in_use,
        idempotency_key_reused,
        quota_exceeded,
        delete_token_required,
        invalid_delete_token,
        not_found,
        image_not_found,
        thumbnail_not_ready,
        method_not_allowed,
        request_timeout,
        file_too_large,
        range_not_satisfiable,
        precondition_failed,
        checksum_mismatch,
        validation_error,
        rate_limit_exceeded,
        internal_error,
        service_unavailable,
        storage_unavailable,
        upload_busy,
        storage_full,
    )
}


def test_no_code_of_the_table_is_left_out():
    assert set(CASES) == set(STATUS_BY_CODE) - NOT_BY_HTTP


@pytest.mark.parametrize("expected", CASES)
async def test_the_code_comes_with_its_status_and_fields(tmp_path, expected):
    async with AsyncExitStack() as stack:
        answer = await CASES[expected](Bench(tmp_path, stack))
    assert (answer.status_code, code(answer)) == (STATUS_BY_CODE[expected], expected)
    if expected in DEFAULT_RETRY_AFTER:
        assert int(answer.headers["retry-after"]) >= 1
    assert ("www-authenticate" in answer.headers) is (answer.status_code == 401)
    assert ("allow" in answer.headers) is (answer.status_code == 405)
    assert ("content-range" in answer.headers) is (answer.status_code == 416)
