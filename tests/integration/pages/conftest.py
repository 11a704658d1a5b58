"""People in front of their browsers: a stranger, two members and an admin, of one service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.factories.accounts import PASSWORD, Account, browser_signed_in, signed_in, signed_up
from tests.factories.applications import House
from tests.integration.conftest import Place
from tests.integration.pages.browsing import HTML, Browser

ADMIN = "root@example.org"


@pytest.fixture(params=["embedded"])
def place() -> Place:
    """Pages read through the same services as the API, which is shown on everything that it stands on."""
    return lambda settings: settings


@asynccontextmanager
async def browser(client: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    """Another browser at the same service."""
    async with httpx.AsyncClient(transport=client._transport, base_url=client.base_url, headers=HTML) as opened:
        yield opened


async def member(client: httpx.AsyncClient, name: str) -> Browser:
    """A new account, signed in with `client`."""
    account = await signed_up(client, name)
    await browser_signed_in(client, account)
    return Browser(client, account)


@pytest.fixture
async def stranger(client: httpx.AsyncClient) -> AsyncIterator[Browser]:
    async with browser(client) as opened:
        yield Browser(opened)


@pytest.fixture
async def ada(client: httpx.AsyncClient) -> AsyncIterator[Browser]:
    async with browser(client) as opened:
        yield await member(opened, "ada")


@pytest.fixture
async def bob(client: httpx.AsyncClient) -> AsyncIterator[Browser]:
    async with browser(client) as opened:
        yield await member(opened, "bob")


@pytest.fixture
async def admin(home: House, client: httpx.AsyncClient) -> AsyncIterator[Browser]:
    user = await home.application.administration.create(ADMIN, password=PASSWORD)
    async with browser(client) as opened:
        account = await signed_in(opened, Account(user.id, ADMIN, ""))
        await browser_signed_in(opened, account)
        yield Browser(opened, account)
