"""One picture's whole life in a browser, on PostgreSQL, S3, Redis and a worker: people notice nothing of it."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.actions import choose, until
from tests.browser.conftest import SETTINGS, Open
from tests.browser.people import files
from tests.factories.servers import Server, running_server
from tests.faults.people import PASSWORD
from tests.services.postgres import Postgres
from tests.services.processes import running
from tests.services.seaweed import SeaweedFS
from tests.services.valkey import Valkey
from tests.services.workers import Worker


@pytest.fixture
def grown(tmp_path: Path, postgres: Postgres, seaweed: SeaweedFS) -> Iterator[Server]:
    """A server on every service, with a worker beside it."""
    name = postgres.create()
    with running(Valkey(tmp_path / "valkey")) as valkey:
        assert isinstance(valkey, Valkey)
        shared = {
            "DATABASE_URL": postgres.url(name),
            "REDIS_URL": valkey.url,
            "CELERY_BROKER_URL": valkey.url.removesuffix("0") + "1",
            # On a machine that has much to do besides, no promise about time is meant.
            "DB_STATEMENT_TIMEOUT_SECONDS": "10",
            "DB_POOL_TIMEOUT_SECONDS": "10",
            "DB_CONNECT_TIMEOUT_SECONDS": "10",
        }
        settings = SETTINGS | shared | seaweed.environment()
        with running_server(tmp_path, **settings) as server:
            worker = Worker(tmp_path / "worker", settings={**settings, "DATA_DIR": str(server.data)})
            with running(worker):
                yield server
    postgres.drop(name)


def test_a_picture_comes_is_shown_changed_and_goes(visit: Open, grown: Server, tmp_path: Path) -> None:
    visitor = visit(size="phone", url=grown.url)
    page = visitor.open("/register")
    page.get_by_label("E-mail").fill("somebody@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Register").click()
    page.wait_for_url(f"{grown.url}/")
    page.goto(f"{grown.url}/upload")
    page.get_by_label("Everybody").check()
    choose(page, files(tmp_path, ["sea.jpg"]))
    page.wait_for_url("**/image/*")
    image_id = page.url.rsplit("/", 1)[1]
    metadata = f"{grown.url}/api/v1/images/{image_id}"
    # The worker makes the thumbnails after the answer.
    until(page, lambda: httpx.get(metadata, timeout=30).json()["thumbnail_ready"])
    page.goto(f"{grown.url}/")
    tile = page.locator(f"a[href='/image/{image_id}'] img")
    until(page, lambda: tile.evaluate("image => image.naturalWidth") > 0)
    tile.click()
    page.get_by_label("Title").fill("The sea")
    page.get_by_label("Who sees it?").select_option("private")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    assert httpx.get(metadata, timeout=30).status_code == 404
    expect(visit(url=grown.url).open("/").locator(f"a[href='/image/{image_id}']")).to_have_count(0)
    page.goto(f"{grown.url}/image/{image_id}")
    expect(page.get_by_role("heading", level=1)).to_have_text("The sea")
    page.get_by_role("link", name="Delete").click()
    page.get_by_role("button", name="Delete").click()
    page.wait_for_url("**/my-images?deleted=1")
    expect(page.get_by_text("1 deleted.")).to_be_visible()
