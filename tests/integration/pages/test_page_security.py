"""What holds of every page: the fields of its answer, where its parts come from, and that texts stay texts."""

import re
from urllib.parse import urlsplit

import pytest

from tests.integration.pages.browsing import Page
from tests.integration.pages.touring import Tour

#: Attributes by which a page has something loaded, followed or sent.
ADDRESSES = {"src", "href", "action", "formaction", "poster", "data", "hx-get", "hx-post"}
HOSTILE = [
    '"><script>alert(1)</script>',
    "'><img src=x onerror=alert(1)>",
    "</title></textarea></script><svg onload=alert(1)>",
    "javascript:alert(1)//",
    '" onmouseover="alert(1)" x="',
    "{{ 7 * 7 }}{% raw %}&lt;b&gt;<!--",
    "<iframe srcdoc='<script>alert(1)</script>'>",
]
HARMLESS = "a picture of the sea"


@pytest.fixture
def tour(stranger, ada, admin):
    return lambda text: Tour(stranger, ada, admin, text).pages()


async def test_fields_of_every_page(tour):
    for name, answer in (await tour(HARMLESS)).items():
        assert answer.headers["content-type"] == "text/html; charset=utf-8", name
        assert answer.headers["x-content-type-options"] == "nosniff", name
        assert answer.headers["cache-control"] in ("private, no-cache", "no-store", "private, no-store"), name
        if "<html" not in answer.text:
            assert answer.headers["cache-control"] == "private, no-store"
            continue
        policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'", name
        assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'", name
        assert not re.search(r"unsafe-|https?:|\*", answer.headers["content-security-policy"]), name
        assert answer.headers["referrer-policy"] == "same-origin", name
        assert answer.headers["x-frame-options"] == "DENY", name


async def test_no_page_needs_another_host_or_a_script_in_it(tour):
    for name, answer in (await tour(HARMLESS)).items():
        for tag, found in Page(answer).elements:
            assert tag not in ("style", "iframe", "object", "embed", "base"), name
            assert "style" not in found, (name, tag)
            assert not [attribute for attribute in found if attribute.startswith(("on", "hx-on"))], (name, tag)
            if tag == "script" and "src" not in found:
                assert found["type"] == "application/json", name
            for attribute in ADDRESSES & found.keys():
                address = urlsplit(found[attribute] or "")
                assert address.netloc in ("", "testserver"), (name, found)
                assert address.scheme in ("", "http") or "download" in found, (name, found)
            for source in (found.get("srcset") or "").split(", "):
                assert source == "" or re.match(r"/i/[^/]", source), (name, source)


@pytest.mark.parametrize("text", HOSTILE)
async def test_texts_stay_texts(tour, text):
    hostile = await tour(text)
    visible = text.replace("/", "")
    shown = [name for name, answer in hostile.items() if text in Page(answer).text or visible in Page(answer).text]
    assert len(shown) >= 10, shown
    for name, answer in hostile.items():
        page = Page(answer)
        assert [tag for tag, _ in page.elements if tag in ("iframe", "svg") and "onload" in dict(_)] == []
        # Only our own drawings have an x; one that a text brought would be on an element of the page.
        assert not any(attribute.startswith("on") or attribute == "srcdoc" or (attribute == "x" and tag != "rect")
                       for tag, found in page.elements for attribute in found), name  # fmt: skip
        for tag, found in page.elements:
            assert (found.get("href") or "").split(":")[0] != "javascript", (name, tag)


async def test_texts_bring_no_elements(tour):
    expected = {name: Page(answer).structure for name, answer in (await tour(HARMLESS)).items()}
    # Another round has another image, session and token in its lists: only pages of one image compare.
    single = ["/login", "/register", "nowhere", "no image", "login", "register", "not yours", "token", "upload",
              "uploaded", "stranger /image/ID", "ada /image/ID", "admin /image/ID", "stranger /i/ID",
              "stranger /image/ID/delete", "ada /image/ID/delete", "edit part", "edit", "delete chosen"]  # fmt: skip
    for text in HOSTILE:
        found = {name: Page(answer).structure for name, answer in (await tour(text)).items()}
        assert found.keys() == expected.keys()
        for name in single:
            assert found[name] == expected[name], (name, text)
