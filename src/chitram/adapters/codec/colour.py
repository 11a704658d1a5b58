"""Colours as screens show them: everything becomes 8-bit sRGB, with alpha where the picture has it."""

import io
from functools import lru_cache

from PIL import Image, ImageCms

_PERCEPTUAL = ImageCms.Intent.PERCEPTUAL
#: What littleCMS calls the colour space of a profile, for each mode that can be converted from it.
_SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}
#: Modes that carry alpha, or can: palettes with transparency, and one colour declared transparent.
_WITH_ALPHA = frozenset({"RGBA", "LA", "PA", "La", "RGBa"})


def has_alpha(image: Image.Image) -> bool:
    """Whether the picture can let something shine through."""
    return image.mode in _WITH_ALPHA or "transparency" in image.info


def expanded(image: Image.Image) -> Image.Image:
    """`image` in a mode whose pixels can be averaged: L, LA, RGB, RGBA or CMYK."""
    if image.mode in ("L", "LA", "RGB", "RGBA", "CMYK") and "transparency" not in image.info:
        return image
    if has_alpha(image):
        return image.convert("RGBA")
    return image.convert("L" if image.mode in ("1", "I;16", "I", "F") else "RGB")


def to_srgb(image: Image.Image, *, profile: bytes | None) -> Image.Image:
    """An expanded `image` as RGB or RGBA in sRGB, by its ICC `profile` where that fits the pixels.

    A profile that is damaged, or made for other channels, is as good as none.
    """
    alpha = image.getchannel("A") if image.mode in ("LA", "RGBA") else None
    colours = image.convert({"LA": "L", "RGBA": "RGB"}[image.mode]) if alpha is not None else image
    transform = None if profile is None else _transform(profile, colours.mode)
    if transform is not None:
        colours = ImageCms.applyTransform(colours, transform) or colours
    elif colours.mode != "RGB":
        colours = colours.convert("RGB")
    if alpha is not None and alpha.getextrema() != (255, 255):
        colours.putalpha(alpha)
    return colours


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The way from `profile` to sRGB; None when there is none. Kept: most pictures of a camera share one profile."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != _SPACES[mode]:
            return None
        return ImageCms.buildTransform(source, _srgb(), mode, "RGB", renderingIntent=_PERCEPTUAL)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


@lru_cache(maxsize=1)
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
