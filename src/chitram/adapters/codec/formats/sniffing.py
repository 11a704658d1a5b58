"""Which format a file is of: its first bytes decide, never a name and never what somebody declared."""

from collections.abc import Callable

from chitram.adapters.codec.formats import avif, gif, jpeg, png, webp
from chitram.adapters.codec.formats.structure import Buffer, Structure, truncated, unsupported
from chitram.domain.media import FORMATS, Budget, describe_formats

_READERS: dict[str, Callable[..., Structure]] = {
    module.CONTENT_TYPE: module.read for module in (jpeg, png, webp, gif, avif)
}
#: How many bytes it takes to tell.
_ENOUGH = 12


def sniff(data: Buffer) -> str | None:
    """The content type that the first bytes tell; None for anything but a known picture format."""
    if data[:3] == jpeg.MAGIC:
        return jpeg.CONTENT_TYPE
    if data[:8] == png.MAGIC:
        return png.CONTENT_TYPE
    if data[:6] in gif.MAGICS:
        return gif.CONTENT_TYPE
    if webp.is_webp(data):
        return webp.CONTENT_TYPE
    return avif.CONTENT_TYPE if avif.is_avif(data) else None


def read_structure(data: Buffer, *, budget: Budget) -> Structure:
    """The structure of the picture in `data`; InvalidFileFormat when it is none within `budget`. Nothing is decoded."""
    found = sniff(data)
    if found is None and 0 < len(data) < _ENOUGH:
        raise truncated()
    if found is None or found not in budget.content_types:
        what = "The file is not a picture of a known format" if found is None else f"{FORMATS[found].name} is off here"
        raise unsupported(f"{what}. Accepted are {describe_formats(budget.content_types)}.")
    return _READERS[found](data, budget=budget)
