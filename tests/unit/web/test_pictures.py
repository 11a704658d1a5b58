"""Images as the templates show them: sizes, addresses, shapes, and the forms in which they are shared."""

import html
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from chitram.adapters.codec.pipeline import fit
from chitram.domain.images import Visibility
from chitram.domain.media import THUMBNAIL_SIZES
from chitram.domain.users import Quota
from chitram.entrypoints.web.catalogue import Catalogue
from chitram.entrypoints.web.pictures import (
    LOWEST,
    TALLEST,
    day,
    detail,
    links,
    original_path,
    size_text,
    thumbnail_path,
    tile,
)
from chitram.entrypoints.web.usage import usage_of
from chitram.services.accounts import Usage
from tests.architecture.sources import SOURCES
from tests.unit.support.records import make_record

TEXTS = Catalogue()
CSS = (SOURCES / "entrypoints/web/static/app.css").read_text(encoding="utf-8")


def of(*, blob=None, **image):
    found = make_record(**(blob or {}))
    return replace(found, image=replace(found.image, **image))


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 kB"),
        (1, "1 kB"),
        (1499, "1 kB"),
        (312 * 1024, "312 kB"),
        (1024 * 1024, "1.0 MB"),
        (5 * 1024 * 1024, "5.0 MB"),
        (2560 * 1024 * 1024, "2.50 GB"),
    ],
)
def test_sizes(size, text):
    assert size_text(size) == text


def test_days():
    assert day(datetime(2026, 11, 3, tzinfo=UTC), texts=TEXTS) == "3 Nov 2026"


@pytest.mark.parametrize("width", [1, 3, 100, 640, 10_000])
@pytest.mark.parametrize("height", [1, 3, 100, 640, 10_000])
def test_every_shape_of_a_tile_is_in_the_style_sheet(width, height):
    span = tile(of(blob={"width": width, "height": height}), texts=TEXTS)["span"]
    assert LOWEST <= span <= TALLEST
    assert f".span-{span}{{grid-row-end:span {span}}}" in CSS


def test_all_shapes():
    assert {int(each) for each in re.findall(r"\.span-(\d+)\{", CSS)} >= set(range(LOWEST, TALLEST + 1))


@pytest.mark.parametrize(
    ("width", "height", "widths", "heights"),
    [
        (1200, 600, {150: 150, 300: 300, 600: 600}, {150: 75, 300: 150, 600: 300}),
        (600, 1200, {150: 75, 300: 150, 600: 300}, {150: 150, 300: 300, 600: 600}),
        (200, 100, {150: 150, 300: 200, 600: 200}, {150: 75, 300: 100, 600: 100}),
        (1, 10_000, {150: 1, 300: 1, 600: 1}, {150: 150, 300: 300, 600: 600}),
        (10_000, 1, {150: 150, 300: 300, 600: 600}, {150: 1, 300: 1, 600: 1}),
        (997, 331, {150: 150, 300: 300, 600: 600}, {150: 50, 300: 100, 600: 199}),
    ],
)
def test_measures_are_those_of_the_thumbnails(width, height, widths, heights):
    shown = tile(of(blob={"width": width, "height": height}), texts=TEXTS)
    assert (shown["widths"], shown["heights"]) == (widths, heights)
    for size in THUMBNAIL_SIZES:
        assert (widths[size], heights[size]) == fit((width, height), longest=size)


def test_addresses():
    found = of(blob={"content_type": "image/png", "thumbnail_type": "image/webp"})
    assert original_path(found) == f"/i/{found.image.id}.png?v={found.version}"
    assert thumbnail_path(found, 300) == f"/i/{found.image.id}/300.webp?v={found.version}"
    assert thumbnail_path(of(blob={"thumbnail_type": None}), 150).partition("?")[0].endswith("/150.jpg")


def test_a_thumbnail_that_is_not_there_is_not_offered():
    for ready, version in ((True, 1), (False, 0)):
        shown = detail(of(blob={"pipeline_version": version}), base="http://x", texts=TEXTS)
        assert ("/600." in shown["srcset"]) is ready


@pytest.mark.parametrize("visibility", Visibility)
def test_who_may_know(visibility):
    shown = detail(of(visibility=visibility), base="http://x", texts=TEXTS)
    assert shown["shared"] is (visibility is not Visibility.PRIVATE)
    assert shown["indexed"] is (visibility is Visibility.PUBLIC)


def test_the_title_is_the_name_and_the_description_the_summary():
    shown = detail(of(title="Sea", description="d" * 400), base="http://x", texts=TEXTS)
    assert (shown["name"], shown["summary"]) == ("Sea", "d" * 300)
    shown = detail(of(title=None, description=None, filename="a.jpg"), base="http://x", texts=TEXTS)
    assert (shown["name"], shown["summary"]) == ("a.jpg", "a.jpg, a picture on Chitram")


@pytest.mark.parametrize("name", ["sea.jpg", "a]b[c", "back\\", 'q"<b>&amp;', "x](http://evil)![", "`*_~`", "a\nb"])
def test_names_end_no_form_of_a_link(name):
    forms = {each["kind"]: each["text"] for each in links(name, page="http://x/p", url="http://x/i")}
    assert (forms["page"], forms["direct"]) == ("http://x/p", "http://x/i")
    match = re.fullmatch(r"\[!\[((?:[^\\\[\]\n]|\\.)*)\]\(http://x/i\)\]\(http://x/p\)", forms["markdown"])
    assert match is not None, forms["markdown"]
    assert re.sub(r"\\(.)", r"\1", match[1]) == name.replace("\n", " ")
    match = re.fullmatch(r'<a href="http://x/p"><img src="http://x/i" alt="([^"<>]*)"></a>', forms["html"])
    assert match is not None, forms["html"]
    assert html.unescape(match[1]) == name
    assert forms["bbcode"] == "[url=http://x/p][img]http://x/i[/img][/url]"


def test_usage():
    assert usage_of(Usage(Quota(2_200_000, 3), Quota(0, 0)), texts=TEXTS)["text"] == "2.1 MB in 3 files"
    found = usage_of(Usage(Quota(921_600, 3), Quota(2_000_000, 0)), texts=TEXTS)
    assert found == {"text": "900 kB of 1.9 MB · 3 files", "used": 921_600, "limit": 2_000_000, "high": 1_800_000}
