"""Images as the templates show them."""

import html
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from urllib.parse import quote

from chitram.domain.images import ImageRecord, Visibility
from chitram.domain.media import FORMATS, THUMBNAIL_SIZES, describe_formats
from chitram.entrypoints.support.links import PAGE_PATH, SHORT_PATH
from chitram.entrypoints.support.representations import timestamp
from chitram.entrypoints.web.catalogue import Catalogue
from chitram.settings import MEBIBYTE, UploadSettings

#: Rows that a column's width has in the gallery, and the shapes of tiles that its style sheet knows.
ROWS, LOWEST, TALLEST = 20, 8, 60
_SIZES = tuple(sorted(THUMBNAIL_SIZES))
#: Bytes from which on a file is worth a preview while it comes.
_PREVIEWED = 150_000
_MARKDOWN = re.compile(r"[\\`*_\[\]<>&]")


def tile(record: ImageRecord, *, texts: Catalogue) -> dict[str, Any]:
    """What a list shows of an image. Addresses begin with `/`."""
    image, blob = record.image, record.blob
    name = image.name
    thumbnails = {size: thumbnail_path(record, size) for size in _SIZES}
    widths = {size: _scaled(blob.width, record, size) for size in _SIZES}
    return {
        "id": image.id,
        "name": name,
        "alt": texts("gallery.alt", name=name, date=day(image.created_at, texts=texts)),
        "page": page_path(record),
        "thumbnails": thumbnails,
        "widths": widths,
        "heights": {size: _scaled(blob.height, record, size) for size in _SIZES},
        "srcset": _srcset((thumbnails[size], widths[size]) for size in _SIZES),
        "width": blob.width,
        "height": blob.height,
        "placeholder": blob.placeholder,
        "span": min(TALLEST, max(LOWEST, round(ROWS * blob.height / blob.width) + 1)),
        "visibility": image.visibility.value,
        "size": size_text(blob.size),
    }


def detail(record: ImageRecord, *, base: str, texts: Catalogue) -> dict[str, Any]:
    """What an image's page shows. `base`: what absolute addresses begin with."""
    image, blob = record.image, record.blob
    shown = tile(record, texts=texts)
    largest = max(THUMBNAIL_SIZES)
    sources = [(shown["thumbnails"][largest], shown["widths"][largest])] if blob.thumbnail_ready else []
    page, url = base + page_path(record), base + original_path(record)
    return shown | {
        "filename": image.filename,
        "description": image.description,
        "summary": (image.description or texts("image.summary", name=shown["name"]))[:300],
        "content_type": blob.content_type,
        "format": FORMATS[blob.content_type].name,
        "created_at": timestamp(image.created_at),
        "date": day(image.created_at, texts=texts),
        "sha256": blob.sha256,
        "problem": _problem(record, texts=texts),
        "shared": image.visibility is not Visibility.PRIVATE,
        "indexed": image.visibility is Visibility.PUBLIC,
        "page_url": page,
        "url": url,
        "display_url": original_path(record),
        "srcset": _srcset([*sources, (original_path(record), blob.width)]),
        "preview": shown["thumbnails"][largest] if _has_preview(record) else None,
        "download_url": f"{original_path(record)}&download=1",
        "oembed_url": f"{base}/oembed?url={quote(page, safe='')}",
        "links": links(shown["name"], page=page, url=url),
    }


def _problem(record: ImageRecord, *, texts: Catalogue) -> str | None:
    """What is wrong with a file that turned out to be broken after its upload."""
    reason = record.blob.broken_reason
    if reason is None:
        return None
    formats = FORMATS[record.blob.content_type].name
    return texts.problem(reason, formats=formats) or texts("problems.other")


def links(name: str, *, page: str, url: str) -> list[dict[str, str]]:
    """The forms in which an image is shared; `kind` and `text` each."""
    # What means something in Markdown would end the text too early, or never.
    plain = _MARKDOWN.sub(r"\\\g<0>", name.replace("\n", " "))
    forms = {
        "page": page,
        "direct": url,
        "markdown": f"[![{plain}]({url})]({page})",
        "html": f'<a href="{page}"><img src="{url}" alt="{html.escape(name)}"></a>',
        "bbcode": f"[url={page}][img]{url}[/img][/url]",
    }
    return [{"kind": kind, "text": text} for kind, text in forms.items()]


def page_path(record: ImageRecord) -> str:
    """The page of an image."""
    return f"{PAGE_PATH}{record.image.id}"


def original_path(record: ImageRecord) -> str:
    """The bytes of an image under their short address, with the content version."""
    return f"{SHORT_PATH}{record.image.id}.{FORMATS[record.blob.content_type].extension}?v={record.version}"


def thumbnail_path(record: ImageRecord, size: int) -> str:
    """A thumbnail under its short address, with the content version."""
    extension = FORMATS[record.blob.thumbnail_type or "image/jpeg"].extension
    return f"{SHORT_PATH}{record.image.id}/{size}.{extension}?v={record.version}"


def day(moment: datetime, *, texts: Catalogue) -> str:
    """`23 Nov 2026`."""
    month = texts("site.months").split()[moment.month - 1]
    return texts("site.date", day=moment.day, month=month, year=moment.year)


def size_text(size: int) -> str:
    """`size` bytes for people: `312 kB`, `2.1 MB`; what is not nothing has 1 kB at least. A unit is 1024 of the one
    before, as in the settings.
    """
    if size < MEBIBYTE:
        return f"{max(min(size, 1), round(size / 1024))} kB"
    if size < 1024 * MEBIBYTE:
        return f"{size / MEBIBYTE:.1f} MB"
    return f"{size / (1024 * MEBIBYTE):.2f} GB"


def accepted(uploads: UploadSettings) -> dict[str, str]:
    """What may be uploaded, in words: the `formats`, and the `limit` of a file's size."""
    formats = describe_formats(frozenset(uploads.allowed_content_types))
    return {"formats": formats, "limit": size_text(uploads.max_file_size)}


def _has_preview(record: ImageRecord) -> bool:
    """Whether the largest thumbnail is worth showing first. Where a picture is transparent it would shine through."""
    blob = record.blob
    is_large = blob.size >= _PREVIEWED and max(blob.width, blob.height) > max(THUMBNAIL_SIZES)
    return blob.thumbnail_ready and blob.thumbnail_type == "image/jpeg" and is_large


def _srcset(sources: Iterable[tuple[str, int]]) -> str:
    """Addresses with their widths, of each width the first: small pictures are as wide in every size."""
    by_width: dict[int, str] = {}
    for path, width in sources:
        by_width.setdefault(width, path)
    return ", ".join(f"{path} {width}w" for width, path in by_width.items())


def _scaled(side: int, record: ImageRecord, size: int) -> int:
    """How long one side of the image is in its thumbnail of `size`, which is never enlarged."""
    longest = max(record.blob.width, record.blob.height)
    return side if longest <= size else max(1, round(side * size / longest))
