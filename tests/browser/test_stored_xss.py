"""What people write stays text, on every page, for its owner and for strangers, and where others embed it.

No script runs, the browser's policy has nothing to refuse, no element comes out of a text, nobody is asked for
anything. That it can fail was seen with titles that are not escaped in the tile, in the heading, in og:title and in the
HTML for copying, and with names and messages put into the uploads' rows, the remembered list and the toasts as HTML.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.browser.everyday import visited
from tests.browser.origins import origin
from tests.browser.payloads import ATTRIBUTES, EVERYTHING, LOCAL_PART, MARKUP, PAYLOADS
from tests.browser.people import edited, uploaded, window
from tests.browser.stage import Company, Stage, Words, company, set_stage
from tests.browser.tour import STOPS, Stop, arrived, choose, forgive, send
from tests.browser.traps import SKELETON, UNWANTED, set_traps, unwanted
from tests.counts import count
from tests.factories.pictures import chunk, jpeg, png, segment, with_chunks
from tests.factories.servers import UNLIMITED, running_server
from tests.faults.people import AUTH, create_token
from tests.integration.pages.browsing import Page as PlainPage

#: As long as a title may be, a description, and the name of a token.
TITLE, DESCRIPTION, NAME = 200, 5000, 100
#: Where words of people stand: of a member the address at least, of a stranger what others wrote.
WORDLESS = {"nothing ticked", "password refused", "farewell refused", "upload"}
WORDY_PAGES = {"gallery", "image", "delete", "uploaded"}
TOURED = [
    stop
    for stop in STOPS
    if (stop.who == "owner" and stop.name not in WORDLESS) or (stop.who == "stranger" and stop.page in WORDY_PAGES)
]


def words_of(text: str) -> Words:
    # Where JSON carries a text, NUL is refused at once.
    plain = text.replace("\0", "")
    return Words(filename=f"{text}.jpg", title=plain[:TITLE], description=plain)


@pytest.fixture(scope="module")
def hostile(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A site where everybody means ill: a picture of each text, with it in every field, and sessions and tokens."""
    with running_server(tmp_path_factory.mktemp("hostile"), **UNLIMITED, BCRYPT_ROUNDS="4") as site:
        words = replace(words_of(MARKUP[1]), description=EVERYTHING.replace("\0", "")[:DESCRIPTION])
        words = replace(words, token=ATTRIBUTES[0][:NAME], agent=MARKUP[0])
        rest = [words_of(text) for text in PAYLOADS]
        opened = set_stage(site, stage.strict, words=words, name=LOCAL_PART, rest=rest)
        with httpx.Client(base_url=site.url, timeout=30) as client:
            for text in MARKUP[::3] + ATTRIBUTES[::2]:
                create_token(client, opened.owner, name=text[:NAME])
                credentials = {"email": opened.owner.email, "password": opened.owner.password}
                client.post(f"{AUTH}/login", json=credentials, headers={"User-Agent": text})
        for data in (_labelled_jpeg(), _labelled_png()):
            uploaded(site.url, data, person=opened.owner)
        yield opened


def _labelled_jpeg() -> bytes:
    """With texts in Exif, XMP and a comment."""
    text = EVERYTHING.encode()
    tags = b"II*\0\x08\0\0\0\x01\0\x0e\x01\x02\0" + len(text).to_bytes(4, "little") + b"\x1a\0\0\0" + bytes(4) + text
    packet = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x='adobe:ns:meta/'><dc:title>" + text + b"</dc:title>"
    data = jpeg(80, 60, seed=7)
    return data[:2] + segment(0xE1, b"Exif\0\0" + tags) + segment(0xE1, packet) + segment(0xFE, text) + data[2:]


def _labelled_png() -> bytes:
    """With texts in every chunk that has some."""
    text = EVERYTHING.encode()
    chunks = chunk(b"tEXt", b"Title\0" + text) + chunk(b"iTXt", b"Description\0\0\0en\0\0" + text)
    return with_chunks(png(80, 60, seed=8), chunks)


@pytest.fixture(scope="module")
def people(chromium: Browser, hostile: Stage) -> Iterator[Company]:
    with company(chromium, hostile, prepare=set_traps) as everybody:
        yield everybody


@pytest.fixture(scope="module")
def pictures(hostile: Stage) -> list[dict[str, Any]]:
    """The metadata of every picture that has a title."""
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    with httpx.Client(base_url=hostile.site.url, headers=hostile.owner.headers, timeout=30) as client:
        while cursor is not None:
            query = {"limit": "100"} | ({"cursor": cursor} if cursor else {})
            page = client.get("/api/v1/users/me/images", params=query)
            found += page.json()["items"]
            cursor = page.json()["next_cursor"]
    texts = {text[:30] for text in PAYLOADS}
    hostile_ones = [each for each in found if each["title"] and each["width"] <= 130 and each["height"] <= 160]
    # Few texts lose what they begin with, being cleaned.
    assert sum(each["title"][:30] in texts for each in hostile_ones) > len(PAYLOADS) * 0.8
    return hostile_ones


@pytest.mark.parametrize("stop", visited(TOURED), ids=lambda stop: stop.name)
def test_texts_stay_texts_on_every_page(people: Company, hostile: Stage, stop: Stop):
    with arrived(people, hostile, stop, width=stop.widths[-1]) as visitor:
        assert unwanted(visitor) == []


@pytest.mark.parametrize("who", ["owner", "stranger"])
def test_texts_are_shown_as_they_are(people: Company, hostile: Stage, pictures: list[dict[str, Any]], who: str):
    """Each picture's page has the very elements of a harmless one's, and its words where they belong."""
    harmless = uploaded(hostile.site.url, jpeg(50, 50), name="harmless.jpg", person=hostile.owner)
    edited(hostile.site.url, harmless["id"], hostile.owner, title="harmless", description="harmless")
    with people.page(who) as visitor:
        page = visitor.open(f"/image/{harmless['id']}")
        plain = page.evaluate(SKELETON)
        # A stranger's page is a part of the owner's: in the soak each text is looked at by one of the two.
        for picture in pictures[who == "owner" :: count(4, 2)]:
            page = visitor.open(f"/image/{picture['id']}")
            assert unwanted(visitor) == [], picture["title"]
            assert page.evaluate(SKELETON) == plain, picture["title"]
            assert page.evaluate(SHOWN) == expected(picture, who=who)


#: Where an image's page shows its words.
SHOWN = """() => {
  const meta = (name) => document.querySelector(`meta[property="${name}"]`).content;
  const before = (text) => text.slice(0, text.lastIndexOf(", uploaded on "));
  return {
    heading: document.querySelector("h1").textContent,
    "og:title": meta("og:title"),
    "og:image:alt": before(meta("og:image:alt")),
    alt: before([...document.querySelectorAll(".glass img")].pop().alt),
    oembed: document.querySelector("link[rel=alternate]").title,
    name: document.querySelector(".facts dd").textContent,
    "title field": document.getElementById("title")?.value ?? null,
    "description field": document.getElementById("description")?.value ?? null,
  };
}"""


def expected(picture: dict[str, Any], *, who: str) -> dict[str, Any]:
    fields = ("heading", "og:title", "og:image:alt", "alt", "oembed")
    return dict.fromkeys(fields, picture["title"]) | {
        "name": picture["filename"],
        "title field": picture["title"] if who == "owner" else None,
        "description field": picture["description"] if who == "owner" else None,
    }


def test_texts_in_addresses_stay_texts(people: Company, hostile: Stage):
    """What a link of somebody else's brings along."""
    plain = (
        "/nowhere/{}", "/?deleted={}", "/?left={}", "/?cursor={}", "/image/{}", "/i/{}", "/login?next=/{}",
        "/register?invite={}&next=/{}", "/login?expired={}", "/upload#{}", "/image/{public}/delete#{}",
    )  # fmt: skip
    mine = ("/my-images?name={}", "/my-images?sort={}", "/my-images?chosen={}", "/account?done={}")
    for who, paths in (("stranger", plain), ("owner", mine)):
        with people.page(who) as visitor:
            # One text after the other, on one page after the other.
            for number, text in enumerate(PAYLOADS[:: count(5, 1)]):
                path = paths[number % len(paths)].replace("{public}", hostile.public)
                visitor.open(path.replace("{}", quote(text[:90], safe="")))
                assert unwanted(visitor) == [], (path, text)


def test_texts_come_back_from_forms_as_texts(people: Company, hostile: Stage):
    """What was wrong is shown again, beside what is wrong about it."""
    page_of_it = f"/image/{hostile.public}"
    forms = (
        ("stranger", "/login", {"email": "{}", "password": "x", "next": "/{}"}),
        ("stranger", "/register", {"email": "{}", "password": "x", "invite": "{}", "next": "{}"}),
        ("stranger", f"{page_of_it}/delete", {"delete_token": "{}"}),
        ("owner", page_of_it, {"title": "{}" * 50, "description": "{}", "visibility": "{}"}),
        ("owner", "/account/tokens", {"name": "{}" * 20, "scopes": "{}", "days": "{}"}),
        ("owner", "/my-images", {"image": "{}", "visibility": "{}", "action": "{}"}),
    )
    for number, (who, action, fields) in enumerate(forms):
        with people.page(who) as visitor:
            # Every answer has the token that its forms carry, and the next form can be sent from there.
            visitor.open("/account" if who == "owner" else "/upload")
            for text in PAYLOADS[number :: count(3, 1) * len(forms)]:
                send(visitor.page, action, **{name: value.replace("{}", text) for name, value in fields.items()})
                assert unwanted(visitor) == [], (action, text)


def test_names_of_chosen_files_stay_texts(people: Company):
    """In the rows of the uploads, before and after they are kept, and in the list that the browser remembers."""
    names = [text.replace("/", "_") for text in PAYLOADS[::6]]
    with people.page("stranger") as visitor:
        page = visitor.open("/upload")
        page.evaluate("localStorage.clear()")
        for number, name in enumerate(names):
            choose(page, f"{name}.jpg", jpeg(32, 24, seed=number) if number % 3 else b"broken")
        broken = len(names[::3])
        expect(page.locator("#upload-list [data-result]:visible")).to_have_count(len(names) - broken)
        expect(page.locator("#upload-list .field-error")).to_have_count(broken)
        assert unwanted(visitor) == []
        assert page.locator("#upload-list [data-name]").all_inner_texts() != []
        page.reload()
        expect(page.locator("#remembered-list li")).to_have_count(len(names) - broken)
        assert unwanted(visitor) == []
        # And what somebody may have got into the storage.
        kept = [dict.fromkeys(("id", "name", "token", "at"), text) for text in PAYLOADS]
        page.evaluate("(kept) => localStorage.setItem('chitram-uploads', kept)", json.dumps(kept))
        page.reload()
        expect(page.locator("#remembered-list li")).to_have_count(len(PAYLOADS))
        assert unwanted(visitor) == []


def test_messages_of_servers_stay_texts(people: Company, hostile: Stage):
    """A toast shows what an answer in plain text says, whoever wrote that, and nothing of any other."""
    said = [
        {"json": {"detail": {"code": "X", "message": EVERYTHING, "details": {}}}},
        {"content_type": "text/plain; charset=utf-8", "body": EVERYTHING},
    ]
    with people.page("owner") as visitor:
        page = visitor.open(f"/image/{hostile.public}")
        page.route(f"**/image/{hostile.public}", lambda route: route.fulfill(status=400, **said.pop(0)))
        words = page.locator(".toast p")
        for number in range(len(said)):
            page.locator("#image-form button[type=submit]").click()
            expect(words).to_have_count(number + 1)
        expect(words.nth(0)).to_have_text("That did not work.")
        expect(words.nth(1)).to_contain_text(MARKUP[0])
        forgive(visitor, "Response Status Error")
        forgive(visitor, "htmx:")
        assert unwanted(visitor) == []


def test_answers_for_programs_are_no_pages(people: Company, hostile: Stage, pictures: list[dict[str, Any]]):
    """Opened as if they were: oEmbed, metadata, lists, errors."""
    page_url, text = f"{hostile.site.url}/image/{pictures[0]['id']}", quote(MARKUP[1])
    paths = [f"/oembed?url={quote(page_url)}", f"/api/v1/images/{pictures[0]['id']}", "/api/v1/images?limit=100"]
    paths += [f"/oembed?url={text}", f"/api/v1/images/{text}", f"/api/v1/images?cursor={text}"]
    with people.page("stranger") as visitor:
        for path in paths:
            page = visitor.open(path)
            assert page.evaluate("document.contentType") == "application/json"
            assert visitor.complaints == []
    embedded = httpx.get(f"{hostile.site.url}{paths[0]}", timeout=30).json()
    assert embedded["title"] == pictures[0]["title"]
    assert "html" not in embedded


def test_copied_links_bring_nothing_along(
    chromium: Browser, hostile: Stage, pictures: list[dict[str, Any]], tmp_path: Path
):
    """Pasted into somebody else's page, which has no policy: a link, a picture, its name, and nothing else."""
    copied = [links_of(hostile.site.url, picture["id"]) for picture in pictures]
    document = tmp_path / "pasted.md"
    document.write_text("\n\n".join(links["markdown"] for links in copied), encoding="utf-8")
    rendered = subprocess.run(
        [sys.executable, "-X", "utf8", "-m", "markdown_it.cli.parse", str(document)],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    for links, picture in zip(copied, pictures, strict=True):
        address = f"{hostile.site.url}/image/{picture['id']}"
        assert links["bbcode"] == f"[url={address}][img]{links['direct']}[/img][/url]"
    pages = {"/html": "".join(links["html"] for links in copied), "/markdown": rendered.stdout}
    with origin({path: f"<!doctype html><title>blog</title>{body}".encode() for path, body in pages.items()}) as blog:
        for path in pages:
            with window(chromium, blog.neighbour) as visitor:
                set_traps(visitor)
                page = visitor.open(path)
                found = page.evaluate(PASTED)
                assert found["tags"] == sorted({"a", "img"} | ({"p"} if path == "/markdown" else set()))
                assert [name for _, name in found["pictures"]] == [each["title"] for each in pictures]
                assert {name for names, _ in found["pictures"] for name in names} == {"src", "alt"}
                foreign = [each for each in visitor.complaints if f"request to {hostile.site.url}/i/" not in each]
                assert foreign == []


#: The elements of a page that something was pasted into, and of each picture the names of its attributes and its name.
PASTED = """() => ({
  tags: [...new Set([...document.body.querySelectorAll("*")].map((element) => element.localName))].sort(),
  pictures: [...document.images].map((image) => [[...image.attributes].map(({ name }) => name), image.alt]),
})"""


def links_of(url: str, image_id: str) -> dict[str, str]:
    """What the fields for copying hold; they are the same for everybody."""
    page = PlainPage(httpx.get(f"{url}/image/{image_id}", timeout=30))
    return {kind: page.by_id(f"link-{kind}")["value"] or "" for kind in ("direct", "markdown", "html", "bbcode")}


def test_the_texts_would_be_more_than_texts(chromium: Browser, hostile: Stage):
    """Or else nothing was tried: put into a page as they are, each is noticed."""
    unescaped = "<p title=\"{0}\"></p><p title='{0}'></p><p title=`{0}` ></p><textarea>{0}</textarea>{0}<!-- {0} -->"
    find = f"(text) => ({UNWANTED})(new DOMParser().parseFromString(text, 'text/html'), location.href)"
    pages = {"/": b"<!doctype html><title>x</title>", "/run": f"<p>{MARKUP[0]}</p>{MARKUP[9]}".encode()}
    with origin(pages) as careless, window(chromium, careless.neighbour) as visitor:
        set_traps(visitor)
        page = visitor.open("/")
        hostile_ones = MARKUP + ATTRIBUTES
        assert [text for text in hostile_ones if not page.evaluate(find, unescaped.replace("{0}", text))] == []
        visitor.open("/run")
        assert any(each.startswith("dialogue: canary") for each in visitor.complaints)
        assert any(each.startswith("asked for") for each in visitor.complaints)
