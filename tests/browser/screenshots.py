"""Takes the README's pictures of the pages, of a server full of drawn landscapes: `make screenshots`."""

import io
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from chitram.adapters.codec.landscapes import SCENES, drawn
from tests.browser.actions import choose, rows
from tests.browser.conftest import ARGUMENTS, SETTINGS
from tests.browser.people import edited, signed_up, uploaded
from tests.factories.servers import Server, running_server
from tests.faults.people import Person
from tests.services.packages import SEARCH_PATH

IMAGES = Path(__file__).resolve().parents[2] / "docs/images"
#: As large as one of them may be, in bytes.
LIMIT = 150_000
#: What the address bar would say; the browser takes it for the server that runs here.
SITE = "http://pictures.example"

Take = Callable[[Browser, Person, Path], bytes]


def gallery(browser: Browser, _owner: Person, _directory: Path) -> bytes:
    """The first page."""
    return _photographed(_opened(browser, "/"))


def image_page(browser: Browser, owner: Person, _directory: Path) -> bytes:
    """A picture on dark glass, in the dark theme, as its owner sees it."""
    page = _opened(browser, "/", person=owner, color_scheme="dark")
    page.locator(".tile > a").nth(1).click()
    return _photographed(page)


def uploading(browser: Browser, _owner: Person, directory: Path) -> bytes:
    """Two pictures that a stranger has uploaded on a phone."""
    phone = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
    page = _opened(browser, "/upload", **phone)
    paths = [directory / f"{scene.name}.jpg" for scene in SCENES[4:6]]
    for path, scene in zip(paths, SCENES[4:6], strict=True):
        path.write_bytes(drawn(scene))
    choose(page, paths)
    for number in range(len(paths)):
        rows(page).nth(number).locator("[data-result]").wait_for()
    page.locator("#uploads-title").evaluate("title => scrollTo(0, title.getBoundingClientRect().top - 80)")
    return _photographed(page)


def my_images(browser: Browser, owner: Person, _directory: Path) -> bytes:
    """One's own pictures, some of them ticked."""
    page = _opened(browser, "/my-images", person=owner)
    for number in (1, 2, 4):
        page.locator("input[name=image]").nth(number).check()
    page.mouse.move(0, 0)
    page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 0); }")
    return _photographed(page)


SHOTS: dict[str, Take] = {
    "gallery": gallery,
    "image-page-dark": image_page,
    "upload-phone": uploading,
    "my-images": my_images,
}


def _opened(browser: Browser, path: str, *, person: Person | None = None, **options: object) -> Page:
    context = browser.new_context(base_url=SITE, **{"viewport": {"width": 1440, "height": 900}, **options})
    page = context.new_page()
    if person:
        page.goto("/login")
        page.get_by_label("E-mail").fill(person.email)
        page.get_by_label("Password").fill(person.password)
        page.locator("main button[type=submit]").click()
        page.wait_for_url("**/")
    page.goto(path)
    page.wait_for_load_state("networkidle")
    # Fonts that came too late for the first look are taken from the cache.
    page.reload()
    return page


def _photographed(page: Page) -> bytes:
    """The window as a PNG, once its fonts and the pictures in sight are there."""
    page.wait_for_load_state("networkidle")
    page.evaluate("document.fonts.ready.then(() => 0)")
    page.evaluate(
        """() => Promise.all([...document.images]
             .filter((image) => image.getBoundingClientRect().top < innerHeight)
             .map((image) => image.decode().catch(() => 0))).then(() => 0)"""
    )
    return page.screenshot(animations="disabled")


def _kept(data: bytes, path: Path) -> None:
    """Write a WebP of the best quality that is small enough."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    for quality in range(92, 40, -4):
        out = io.BytesIO()
        picture.save(out, "WEBP", quality=quality, method=6)
        if out.tell() <= LIMIT:
            path.write_bytes(out.getvalue())
            print(f"{path.name}: {picture.width} x {picture.height}, quality {quality}, {out.tell()} bytes")
            return
    raise SystemExit(f"{path.name} does not fit into {LIMIT} bytes")


def _furnished(server: Server) -> Person:
    """An account with every landscape."""
    owner = signed_up(server.url, "asha@pictures.example")
    for scene in SCENES:
        image = uploaded(server.url, drawn(scene), name=f"{scene.name}.jpg", person=owner)
        edited(server.url, image["id"], owner, title=scene.name)
    return owner


def main(names: list[str]) -> None:
    """Take the screenshots called `names`, or all of them."""
    executable = shutil.which("chromium-headless-shell", path=SEARCH_PATH)
    with (
        tempfile.TemporaryDirectory() as scratch,
        running_server(Path(scratch), **SETTINGS, DEFAULT_QUOTA_MB="200") as server,
        sync_playwright() as playwright,
    ):
        owner = _furnished(server)
        there = f"--host-resolver-rules=MAP pictures.example:80 127.0.0.1:{server.port}"
        browser = playwright.chromium.launch(executable_path=executable, args=[*ARGUMENTS, there])
        for name in names or SHOTS:
            _kept(SHOTS[name](browser, owner, Path(scratch)), IMAGES / f"{name}.webp")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
