"""Where somebody is led next: to pages of this site alone."""

from urllib.parse import urljoin, urlsplit

import pytest

from chitram.entrypoints.web.visitors import LoginNeeded, own_path

OURS = [
    "/",
    "/upload",
    "/my-images?name=a&sort=oldest",
    "/image/AAAAAAAAAAA",
    "/a//b",
    "/?x=https://a.example",
    "/చిత్రం",
]
OTHERS = [
    None,
    "",
    "upload",
    "//evil.example",
    "///evil.example",
    "////evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "/a\\b",
    "https://evil.example",
    "https:evil.example",
    "http:///evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    " //evil.example",
    "\t//evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r\nSet-Cookie: a=b",
    "/\x00",
    "/\u202egnp",
    "/\ud800",
    "?next=//evil.example",
    "#//evil.example",
]


@pytest.mark.parametrize("path", OURS)
def test_our_own(path):
    assert own_path(path) == path


@pytest.mark.parametrize("path", OTHERS)
def test_all_else_is_the_first_page(path):
    assert own_path(path) == "/"


@pytest.mark.parametrize("path", [*OURS, *filter(None, OTHERS)])
def test_as_browsers_read_it(path):
    read = own_path(path).replace("\\", "/").translate({9: None, 10: None, 13: None})
    assert urlsplit(urljoin("https://chitram.example/login", read)).netloc == "chitram.example"


def test_the_log_in_page_leads_back():
    needed = LoginNeeded("/my-images?name=a&sort=x", expired=True)
    assert needed.location == "/login?next=/my-images%3Fname%3Da%26sort%3Dx&expired=1"
    assert LoginNeeded("/", expired=False).location == "/login?next=/"
