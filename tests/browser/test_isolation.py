"""What somebody uploads runs nowhere, and what other people's pages embed tells them nothing and changes nothing.

That it can fail was seen with originals served as pages and as scripts, private pictures shown to whoever embeds them,
frames allowed, pages left in the hands of whoever opened them, and forms believed whoever's page they stand on.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.origins import Origin, origin
from tests.browser.people import Visitor, sign_in, signed_up, uploaded, window
from tests.browser.tour import UNKNOWN
from tests.counts import SOAK
from tests.factories.pictures import chunk, jpeg, png, segment, with_chunks
from tests.factories.servers import UNLIMITED, Server, running_server
from tests.faults.people import COOKIE, PASSWORD, Person

#: Wherever it ran, it would leave its mark.
MARK = b"document.documentElement.dataset.marked = 'yes';"
HTML = b"<html><body><script>" + MARK + b'</script><svg onload="' + MARK + b'"></svg><h1>page</h1></body></html>'
THEIRS = {
    "/": b"<!doctype html><title>theirs</title><body><h1>theirs</h1></body>",
}


def script_jpeg() -> bytes:
    """A JPEG that is a script too: the length of its first segment begins a comment, which another one ends."""
    start = b"JFIF\0\1\1\0\0\1\0\1\0\0"
    script = b"*/=1;" + MARK + b"/*"
    room = 0x2F2A - 2 - len(start) - len(script)
    first = segment(0xE0, start + b" " * room + script)
    assert first[2:4] == b"/*"
    return b"\xff\xd8" + first + jpeg(16, 16)[2:] + b"*/"


POLYGLOTS = {
    "comment.html": lambda: jpeg(16, 16)[:2] + segment(0xFE, HTML) + jpeg(16, 16)[2:],
    "script.js": script_jpeg,
    "text.html": lambda: with_chunks(png(16, 16), chunk(b"tEXt", b"Comment\0" + HTML)),
    "tail.htm": lambda: png(16, 16) + HTML,
    "xmp.svg": lambda: with_chunks(png(16, 16), chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + HTML)),
}

#: Puts an element into the page; what became of it, once it has loaded or failed.
EMBED = """([tag, attributes]) => new Promise((done) => {
  const element = Object.assign(document.createElement(tag), attributes);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  const tell = (what) => done({ what, width: element.naturalWidth ?? 0, frames: window.length });
  element.addEventListener("load", () => tell("load"));
  element.addEventListener("error", () => tell("error"));
  document.body.append(element);
})"""
MARKED = "document.documentElement.dataset.marked ?? ''"


@pytest.fixture(scope="module")
def theirs() -> Iterator[Origin]:
    """The site of somebody who means ill."""
    with origin(THEIRS) as opened:
        yield opened


@pytest.fixture(scope="module")
def keeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that keeps what files carry beside the picture."""
    with running_server(tmp_path_factory.mktemp("keeper"), **UNLIMITED, STRIP_METADATA="false") as server:
        yield server


@pytest.fixture(scope="module")
def member(chromium: Browser, site: Server) -> Iterator[Visitor]:
    """A member's window. What other sites do there is not complained about."""
    with window(chromium, site.url) as visitor:
        sign_in(visitor, signed_up(site.url, "isolated@example.org"))
        yield visitor


@contextmanager
def tab(visitor: Visitor, address: str) -> Iterator[Page]:
    """A page in a new tab of the same browser."""
    page = visitor.context.new_page()
    try:
        page.goto(address)
        yield page
    finally:
        page.close()


def person_of(visitor: Visitor) -> Person:
    assert visitor.person is not None
    return visitor.person


@pytest.mark.parametrize("name", POLYGLOTS)
def test_what_is_a_page_or_a_script_too_is_a_picture_here(chromium: Browser, keeper: Server, theirs: Origin, name: str):
    data = POLYGLOTS[name]()
    image = uploaded(keeper.url, data, name=name)
    addresses = (f"{keeper.url}/api/v1/images/{image['id']}/file", image["url"])
    with window(chromium, keeper.url) as visitor:
        for number, address in enumerate(addresses):
            stored = visitor.page.request.get(address)
            assert MARK in stored.body()
            opened = visitor.page.goto(address)
            assert opened is not None
            assert visitor.page.evaluate("document.contentType") == image["content_type"]
            assert visitor.page.evaluate(MARKED) == ""
            assert visitor.page.locator("script, h1, svg").count() == 0
            # Every day each address on one of the sites.
            sites = (theirs.neighbour, theirs.foreign)
            for site in sites if SOAK else sites[number : number + 1]:
                with tab(visitor, site) as page:
                    script = {"src": address, "charset": "ISO-8859-1"}
                    assert page.evaluate(EMBED, ["script", script])["what"] == "error"
                    assert page.evaluate(EMBED, ["script", script | {"type": "module"}])["what"] == "error"
                    assert page.evaluate(EMBED, ["link", {"href": address, "rel": "stylesheet"}])["what"] == "error"
                    page.evaluate(EMBED, ["iframe", {"src": address}])
                    assert [frame.evaluate(MARKED) for frame in page.frames] == ["", ""]
                    # And it is a picture, after all.
                    shown = page.evaluate(EMBED, ["img", {"src": address}])
                    assert (shown["what"], shown["width"]) == ("load", 16)


def test_the_polyglots_are_what_they_seem(chromium: Browser, theirs: Origin):
    """Or else nothing was tried: where they are served as what else they are, they run."""
    pages = {f"/{name}": POLYGLOTS[name]() for name in ("text.html", "tail.htm")}
    theirs.pages.update(pages | {"/script.js": script_jpeg()})
    with window(chromium, theirs.neighbour) as visitor:
        for name in ("text.html", "tail.htm"):
            visitor.open(f"/{name}")
            assert visitor.page.evaluate(MARKED) == "yes"
        visitor.open("/")
        script = {"src": "/script.js", "charset": "ISO-8859-1"}
        assert visitor.page.evaluate(EMBED, ["script", script])["what"] == "load"
        assert visitor.page.evaluate(MARKED) == "yes"


#: What a page can find out about an address of another site by embedding it in every way there is.
PROBE = """async (address) => {
  const embed = (tag, attributes) => new Promise((done) => {
    const element = Object.assign(document.createElement(tag), attributes);
    const tell = (what) => done(`${tag}: ${what} ${element.naturalWidth ?? ""} ${window.length}`);
    for (const what of ["load", "error", "loadeddata"]) element.addEventListener(what, () => tell(what));
    document.body.append(element);
  });
  const found = [];
  for (const [tag, attributes] of [
    ["img", { src: address }], ["img", { src: address, crossOrigin: "use-credentials" }], ["video", { src: address }],
    ["iframe", { src: address }], ["object", { data: address }], ["script", { src: address }],
  ]) found.push(await embed(tag, attributes));
  for (const mode of ["no-cors", "cors"]) {
    const options = { mode, credentials: "include", cache: "no-store" };
    found.push(await fetch(address, options).then((answer) => `${mode}: ${answer.type} ${answer.status}`, () => mode));
  }
  const entries = performance.getEntriesByName(address);
  found.push(entries.map((each) => `${each.initiatorType} ${each.transferSize} ${each.responseStatus}`).sort().join());
  return found;
}"""


@pytest.mark.parametrize("side", ["neighbour", "foreign"])
def test_private_pictures_are_nowhere_to_be_found_for_other_sites(member: Visitor, theirs: Origin, side: str):
    picture = uploaded(member.url, jpeg(320, 240), person=person_of(member), visibility="private")
    public = uploaded(member.url, jpeg(320, 240, seed=1), person=person_of(member))
    places = ("/i/{}.jpg", "/api/v1/images/{}/file", "/i/{}/300.jpg", "/api/v1/images/{}/thumbnail?size=150")
    with tab(member, member.url) as own:
        # Its owner sees it: the cookie is the right one.
        shown = own.evaluate(EMBED, ["img", {"src": f"/i/{picture['id']}.jpg"}])
        assert (shown["what"], shown["width"]) == ("load", 320)
    # Every day each place on one of the sides.
    for place in places if SOAK else places[side == "foreign" :: 2]:
        heard = {}
        with tab(member, getattr(theirs, side)) as page:
            for image in (picture["id"], UNKNOWN, public["id"]):
                heard[image] = page.evaluate(PROBE, f"{member.url}{place.format(image)}")
                # Without what the last one left behind.
                page.reload()
        assert heard[picture["id"]] == heard[UNKNOWN], place
        assert heard[picture["id"]][0].startswith("img: error 0"), place
        assert heard[public["id"]][0].startswith("img: load"), place


@pytest.mark.parametrize("side", ["neighbour", "foreign"])
def test_pages_are_shown_in_no_frame(member: Visitor, theirs: Origin, side: str):
    picture = uploaded(member.url, jpeg(32, 24), person=person_of(member))
    with tab(member, getattr(theirs, side)) as page:
        for path in ("/", "/login", "/upload", "/account", f"/image/{picture['id']}", "/nowhere", "/docs"):
            page.reload()
            page.evaluate(EMBED, ["iframe", {"src": f"{member.url}{path}"}])
            assert page.frames[1].evaluate("location.href").startswith("chrome-error:"), path
            # Others may be framed there.
            page.evaluate(EMBED, ["iframe", {"src": f"{theirs.neighbour}/"}])
            assert page.frames[2].evaluate("location.href") == f"{theirs.neighbour}/"


def test_scripts_see_no_session(member: Visitor, theirs: Origin):
    """The browser has a session; no page can read it, and nothing else is kept that is as good."""
    with window_of_new_member(member) as page:
        (cookie,) = page.context.cookies()
        assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == (COOKIE, True, "Lax")
        for path in ("/", "/upload", "/my-images", "/account"):
            page.goto(f"{member.url}{path}")
            kept = page.evaluate("[document.cookie, JSON.stringify([localStorage, sessionStorage])]")
            assert kept[0] == "", path
            assert cookie["value"] not in kept[1] + page.content()
        # Cookies do not know ports: to a neighbour the browser sends it, but shows it to no script.
        page.goto(theirs.neighbour)
        assert page.evaluate("document.cookie") == ""


@contextmanager
def window_of_new_member(member: Visitor) -> Iterator[Page]:
    """Somebody who registers on the page that is there for it."""
    browser = member.context.browser
    assert browser is not None
    with window(browser, member.url) as visitor:
        page = visitor.open("/register")
        page.locator("#email").fill("registered@example.org")
        page.locator("#password").fill(PASSWORD)
        with page.expect_navigation():
            page.locator("form[action='/register'] button").click()
        expect(page.locator("form[action='/logout']").first).to_be_attached()
        yield page


SEND = """([action, fields, type]) => {
  const form = Object.assign(document.createElement("form"), { method: "post", action, enctype: type });
  for (const [name, value] of Object.entries(fields))
    form.append(Object.assign(document.createElement("input"), { name, value }));
  document.body.append(form);
  form.submit();
}"""
URLENCODED, PLAIN, MULTIPART = "application/x-www-form-urlencoded", "text/plain", "multipart/form-data"


@pytest.mark.parametrize("side", ["neighbour", "foreign"])
def test_forms_of_other_sites_change_nothing(member: Visitor, theirs: Origin, side: str):
    person = person_of(member)
    picture = uploaded(member.url, jpeg(32, 24), person=person)
    page_of_it = f"/image/{picture['id']}"
    forms = {
        "/logout": {},
        page_of_it: {"title": "theirs", "visibility": "public"},
        f"{page_of_it}/delete": {},
        "/my-images": {"image": picture["id"], "action": "delete", "confirmed": "yes"},
        "/account/tokens": {"name": "theirs", "scopes": "read"},
        "/account/sessions/end": {},
        "/account/password": {"current_password": PASSWORD, "new_password": "theirs from now on"},
        "/account/delete": {"password": PASSWORD, "images": "delete"},
        "/login": {"email": person.email, "password": PASSWORD},
        "/register": {"email": f"{side}@example.org", "password": PASSWORD},
        "/api/v1/auth/logout": {},
        "/api/v1/auth/session": {"email": person.email, "password": PASSWORD},
    }
    before = state_of(member, picture["id"])
    # The other kinds where something reads them: what is no form is refused as such.
    sent = [(action, URLENCODED) for action in forms] + [("/api/v1/auth/session", kind) for kind in (PLAIN, MULTIPART)]
    with tab(member, getattr(theirs, side)) as page:
        for action, kind in sent:
            page.goto(getattr(theirs, side))
            with page.expect_navigation() as answered:
                page.evaluate(SEND, [f"{member.url}{action}", forms[action], kind])
            # What comes from another site comes without the cookie, and may lead on to the log-in page.
            led_on = side == "foreign" and answered.value.request.method == "GET"
            assert answered.value.status >= 400 or led_on, (action, kind)
    assert state_of(member, picture["id"]) == before


def state_of(member: Visitor, image: str) -> tuple[object, ...]:
    """What forms could have changed: who is signed in, what has access, what the picture is called."""
    request, base = member.page.request, member.url
    answers = [request.get(f"{base}/api/v1/{path}") for path in ("auth/me", "auth/tokens", "auth/sessions")]
    assert [answer.status for answer in answers] == [200, 200, 200]
    sessions = [each["id"] for each in answers[2].json()["items"]]
    picture = request.get(f"{base}/api/v1/images/{image}").json()
    return answers[0].json(), answers[1].json(), sessions, (picture["title"], picture["visibility"])


@pytest.mark.parametrize("side", ["neighbour", "foreign"])
@pytest.mark.parametrize("path", ["/", "/account", f"/image/{UNKNOWN}"])
def test_whoever_opens_a_page_has_no_hold_on_it(member: Visitor, theirs: Origin, side: str, path: str):
    with tab(member, getattr(theirs, side)) as page:
        with page.expect_popup() as opened:
            page.evaluate("(address) => { window.held = window.open(address); }", f"{member.url}{path}")
        popup = opened.value
        popup.wait_for_load_state()
        assert popup.evaluate("window.opener") is None
        page.wait_for_function("window.held.closed")
        expect(popup.locator("h1")).to_have_count(1)
        popup.close()
