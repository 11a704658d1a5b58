"""Every page in every state that matters, and how to get there. Routes that show a page need a stop, or tests fail."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.people import Visitor
from tests.browser.stage import Company, Stage
from tests.factories.pictures import jpeg
from tests.faults.people import PASSWORD

PHONE, TABLET, DESKTOP = 375, 768, 1440
UNKNOWN = "AAAAAAAAAAA"

Reach = Callable[[Visitor, Stage], None]


@dataclass(frozen=True, slots=True)
class Stop:
    """A page in a state. `shows`: the route that answers with it; `page`: its `data-page`; `who` looks at it."""

    name: str
    shows: str
    page: str
    who: str
    reach: Reach
    widths: tuple[int, ...] = (PHONE, DESKTOP)


@contextmanager
def arrived(company: Company, stage: Stage, stop: Stop, *, width: int) -> Iterator[Visitor]:
    """A tab that shows the stop, loaded, its fonts there."""
    with company.page(stop.who, width=width) as visitor:
        stop.reach(visitor, stage)
        expect(visitor.page.locator("body")).to_have_attribute("data-page", stop.page)
        visitor.page.evaluate("document.fonts.ready.then(() => 0)")
        yield visitor


def settle(page: Page) -> None:
    """Wait until colours have changed that were changing."""
    page.evaluate(
        """() => new Promise((done) => {
          const changing = () => document.getAnimations().some((each) => each instanceof CSSTransition);
          const look = () => (changing() ? requestAnimationFrame(look) : done(0));
          requestAnimationFrame(() => requestAnimationFrame(look));
        })"""
    )


def opening(path: str) -> Reach:
    """The page at `path`, in which the names of the stage's pictures are replaced by their ids."""
    return lambda visitor, stage: _open(visitor, stage, path)


def _open(visitor: Visitor, stage: Stage, path: str) -> None:
    visitor.open(path.format(**{name: getattr(stage, name) for name in ("public", "private", "tall", "anonymous")}))


def submitting(path: str, action: str, **fields: str) -> Reach:
    """What the server answers to the form for `action` on the page `path`, as browsers without script send it."""

    def reach(visitor: Visitor, stage: Stage) -> None:
        _open(visitor, stage, path)
        send(visitor.page, action.format(public=stage.public, anonymous=stage.anonymous), **fields)

    return reach


def send(page: Page, action: str, /, **fields: str) -> None:
    """Send a form to `action` from the page, with the token that its forms carry; nothing checks it before."""
    with page.expect_navigation():
        page.evaluate(
            """([action, fields]) => {
              const form = Object.assign(document.createElement("form"), { method: "post", action });
              const token = document.querySelector("input[name=csrf_token]")?.value;
              for (const [name, value] of Object.entries({ ...(token && { csrf_token: token }), ...fields }))
                form.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
              document.body.append(form);
              form.submit();
            }""",
            [action, fields],
        )


def forgive(visitor: Visitor, text: str) -> None:
    """Forget complaints about what was provoked."""
    visitor.complaints[:] = [complaint for complaint in visitor.complaints if text not in complaint]


def more_pictures(visitor: Visitor, _stage: Stage) -> None:
    page = visitor.open("/")
    first = page.locator("#gallery > li").count()
    page.locator("#load-more").scroll_into_view_if_needed()
    expect(page.locator("#gallery > li").nth(first)).to_be_visible()


def more_of_mine(visitor: Visitor, _stage: Stage) -> None:
    page = visitor.open("/my-images")
    first = page.locator("#gallery > li").count()
    page.locator("#load-more").scroll_into_view_if_needed()
    expect(page.locator("#gallery > li").nth(first)).to_be_visible()


def menu_open(visitor: Visitor, _stage: Stage) -> None:
    page = visitor.open("/")
    page.locator("details.menu > summary").click()
    expect(page.locator(".menu-panel")).to_be_visible()


def ticked(visitor: Visitor, _stage: Stage) -> None:
    page = visitor.open("/my-images")
    for number in range(2):
        page.locator("input[name=image]").nth(number).check()
    expect(page.locator("#chosen")).to_contain_text("2")


def chosen_for_deletion(visitor: Visitor, _stage: Stage) -> None:
    page = visitor.open("/my-images")
    page.locator("input[name=image]").first.check()
    with page.expect_navigation():
        page.locator("button[name=action][value=delete]").click()


def saved_in_place(visitor: Visitor, stage: Stage) -> None:
    page = visitor.open(f"/image/{stage.public}")
    page.locator("#image-form button[type=submit]").click()
    expect(page.locator("#image-form [role=status]")).to_be_visible()


def refused_in_place(visitor: Visitor, stage: Stage) -> None:
    page = visitor.open(f"/image/{stage.public}")
    page.locator("#title").evaluate("field => { field.removeAttribute('maxlength'); field.value = 'x'.repeat(300) }")
    page.locator("#image-form button[type=submit]").click()
    expect(page.locator("#title-error")).to_be_visible()


def zoomed(visitor: Visitor, stage: Stage) -> None:
    page = visitor.open(f"/image/{stage.public}")
    page.locator("a[data-zoom]").click()
    expect(page.locator("dialog.zoom")).to_be_visible()


def toasted(visitor: Visitor, stage: Stage) -> None:
    """The server cannot be reached in the middle of saving."""
    page = visitor.open(f"/image/{stage.public}")
    page.route(f"**/image/{stage.public}", lambda route: route.abort("connectionrefused"))
    page.locator("#image-form button[type=submit]").click()
    expect(page.locator(".toast")).to_be_visible()
    forgive(visitor, "ERR_CONNECTION_REFUSED")
    forgive(visitor, "htmx:")


def uploads_in_every_state(visitor: Visitor, _stage: Stage) -> None:
    """One done with its token, one refused by the server, one by the page, and one on its way."""
    page = visitor.open("/upload")
    choose(page, "done.jpg", jpeg(320, 240))
    choose(page, "broken.jpg", b"\xff\xd8\xff")
    choose(page, "notes.txt", b"no picture", kind="text/plain")
    expect(page.locator("#upload-list [data-token]:visible")).to_have_count(1)
    expect(page.locator("#upload-list .field-error")).to_have_count(2)
    # A line on which hardly anything moves.
    line = page.context.new_cdp_session(page)
    slow = {"offline": False, "latency": 0, "downloadThroughput": 10_000, "uploadThroughput": 100}
    line.send("Network.emulateNetworkConditions", slow)
    choose(page, "slow.jpg", jpeg(640, 480))
    expect(page.locator("#upload-list [data-progress]:visible")).to_have_count(1)
    expect(page.locator("#remembered")).to_be_visible()


def choose(page: Page, name: str, data: bytes, *, kind: str = "image/jpeg") -> None:
    """Choose a file on the upload page."""
    page.locator("#file").set_input_files({"name": name, "mimeType": kind, "buffer": data})


def plain_upload(visitor: Visitor, _stage: Stage) -> None:
    """The page that tells the delete token to those without scripts."""
    page = visitor.open("/upload")
    with page.expect_navigation():
        page.evaluate(
            """(bytes) => {
              const data = new DataTransfer();
              data.items.add(new File([new Uint8Array(bytes)], "plain.jpg", { type: "image/jpeg" }));
              document.getElementById("file").files = data.files;
              document.getElementById("upload-form").submit();
            }""",
            list(jpeg(320, 240, seed=9)),
        )


def guessed_too_often(visitor: Visitor, stage: Stage) -> None:
    page = visitor.open(f"/image/{stage.guarded}/delete")
    form = {"delete_token": "x" * 43}
    while page.request.post(page.url, form=form, headers={"Sec-Fetch-Site": "same-origin"}).status != 429:
        pass
    send(page, f"/image/{stage.guarded}/delete", **form)


def busy(visitor: Visitor, stage: Stage) -> None:
    """Somebody else writes into the database, and does not come to an end."""
    page = visitor.open("/login")
    other = sqlite3.connect(_database(stage), isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        send(page, "/login", email=stage.owner.email, password=PASSWORD)
    finally:
        other.close()


def broken_inside(visitor: Visitor, stage: Stage) -> None:
    """A table is gone that nobody would expect to go."""
    other = sqlite3.connect(_database(stage), isolation_level=None)
    try:
        other.execute("ALTER TABLE images RENAME TO images_gone")
        try:
            visitor.open("/")
        finally:
            other.execute("ALTER TABLE images_gone RENAME TO images")
    finally:
        other.close()


def _database(stage: Stage) -> Path:
    return stage.strict.data / "chitram.db"


STOPS = (
    Stop("gallery", "GET /", "gallery", "stranger", opening("/")),
    Stop("more of the gallery", "GET /", "gallery", "stranger", more_pictures),
    Stop("picture deleted", "GET /", "gallery", "stranger", opening("/?deleted={anonymous}")),
    Stop("empty gallery", "GET /", "gallery", "outsider", opening("/")),
    Stop("menu", "GET /", "gallery", "owner", menu_open, (PHONE,)),
    Stop("menu of a stranger", "GET /", "gallery", "stranger", menu_open, (PHONE,)),
    Stop("picture", "GET /image/{image_id}", "image", "stranger", opening("/image/{public}")),
    Stop("tall picture", "GET /image/{image_id}", "image", "stranger", opening("/image/{tall}")),
    Stop("short link", "GET /i/{image_id}", "image", "stranger", opening("/i/{anonymous}")),
    Stop("own picture", "GET /image/{image_id}", "image", "owner", opening("/image/{public}")),
    Stop("own private picture", "GET /image/{image_id}", "image", "owner", opening("/image/{private}")),
    Stop("picture saved", "POST /image/{image_id}", "image", "owner", saved_in_place),
    Stop("picture not saved", "POST /image/{image_id}", "image", "owner", refused_in_place),
    Stop("picture refused", "POST /image/{image_id}", "image", "owner",
         submitting("/image/{public}", "/image/{public}", title="x" * 300, visibility="public")),
    Stop("picture of another", "POST /image/{image_id}", "error", "stranger",
         submitting("/", "/image/{public}", title="mine", visibility="public")),
    Stop("zoom", "GET /image/{image_id}", "image", "owner", zoomed),
    Stop("toast", "GET /image/{image_id}", "image", "owner", toasted),
    Stop("deletion", "GET /image/{image_id}/delete", "delete", "owner", opening("/image/{public}/delete")),
    Stop("deletion by token", "GET /image/{image_id}/delete", "delete", "stranger",
         opening("/image/{anonymous}/delete")),
    Stop("wrong token", "POST /image/{image_id}/delete", "delete", "stranger",
         submitting("/image/{anonymous}/delete", "/image/{anonymous}/delete", delete_token="wrong")),
    Stop("upload", "GET /upload", "upload", "owner", opening("/upload")),
    Stop("upload for members", "GET /upload", "upload", "outsider", opening("/upload")),
    Stop("uploads", "GET /upload", "upload", "stranger", uploads_in_every_state),
    Stop("upload refused", "POST /upload", "upload", "stranger", submitting("/upload", "/upload")),
    Stop("uploaded", "POST /upload", "uploaded", "stranger", plain_upload),
    Stop("log in", "GET /login", "login", "stranger", opening("/login")),
    Stop("session expired", "GET /login", "login", "stranger", opening("/login?next=/account&expired=1")),
    Stop("wrong password", "POST /login", "login", "stranger",
         submitting("/login", "/login", email="nobody@example.org", password="wrong")),
    Stop("register", "GET /register", "register", "stranger", opening("/register")),
    Stop("register by invitation", "GET /register", "register", "outsider", opening("/register")),
    Stop("bad e-mail", "POST /register", "register", "stranger",
         submitting("/register", "/register", email="nobody", password=PASSWORD)),
    Stop("bad password", "POST /register", "register", "stranger",
         submitting("/register", "/register", email="new@example.org", password="short")),
    Stop("bad invitation", "POST /register", "register", "outsider",
         submitting("/register", "/register", email="new@example.org", password=PASSWORD, invite="wrong")),
    Stop("my images", "GET /my-images", "my-images", "owner", opening("/my-images")),
    Stop("more of my images", "GET /my-images", "my-images", "owner", more_of_mine),
    Stop("pictures ticked", "GET /my-images", "my-images", "owner", ticked),
    Stop("nothing ticked", "GET /my-images", "my-images", "owner", opening("/my-images?chosen=none")),
    Stop("nothing found", "GET /my-images", "my-images", "owner", opening("/my-images?name=zzzz")),
    Stop("no images", "GET /my-images", "my-images", "newcomer", opening("/my-images")),
    Stop("deletion of several", "POST /my-images", "delete-chosen", "owner", chosen_for_deletion),
    Stop("account", "GET /account", "account", "owner", opening("/account")),
    Stop("new token", "POST /account/tokens", "account", "newcomer",
         submitting("/account", "/account/tokens", name="camera", scopes="upload")),
    Stop("token refused", "POST /account/tokens", "account", "owner",
         submitting("/account", "/account/tokens", name="")),
    Stop("password refused", "POST /account/password", "account", "owner",
         submitting("/account", "/account/password", current_password="wrong", new_password=PASSWORD)),
    Stop("farewell refused", "POST /account/delete", "account", "owner",
         submitting("/account", "/account/delete", password="wrong", images="keep")),
    Stop("nowhere", "", "error", "stranger", opening("/nowhere")),
    Stop("no such picture", "GET /image/{image_id}", "error", "stranger", opening(f"/image/{UNKNOWN}")),
    Stop("hidden picture", "GET /image/{image_id}", "error", "newcomer", opening("/image/{private}")),
    Stop("bad address", "GET /", "error", "stranger", opening("/?cursor=none")),
    Stop("too often", "POST /image/{image_id}/delete", "error", "outsider", guessed_too_often),
    Stop("busy", "POST /login", "error", "outsider", busy),
    Stop("broken", "GET /", "error", "outsider", broken_inside),
)  # fmt: skip

#: What shows no page of its own: it leads on, or answers programs.
NO_PAGES = frozenset({
    "POST /logout",
    "POST /account/sessions/end",
    "POST /account/sessions/{session_id}/end",
    "POST /account/tokens/{token_id}/revoke",
    "GET /oembed",
})  # fmt: skip
