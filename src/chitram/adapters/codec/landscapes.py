"""Drawn landscapes: pictures that are pleasant to look at, belong to nobody, and are the same in every run."""

import io
import itertools
import math
import random
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageColor, ImageDraw, ImageFilter

Colour = tuple[int, int, int]
#: Drawn so much larger than they are kept, for smooth edges.
FINE = 2


@dataclass(frozen=True, slots=True)
class Scene:
    """A landscape. `sky` from the top to the horizon, `land` from the farthest to the nearest; `sun` in shares of the
    picture's width and height, and how large; `kind` is how the land is shaped: peaks, hills, dunes, woods or sea.
    """

    name: str
    size: tuple[int, int]
    sky: tuple[Colour, Colour]
    land: tuple[Colour, Colour]
    light: Colour
    sun: tuple[float, float, float]
    kind: str
    stars: int = 0


def drawn(scene: Scene) -> bytes:
    """The scene as a JPEG."""
    chance = random.Random(scene.name)  # noqa: S311  # the same picture for the same name
    width, height = (side * FINE for side in scene.size)
    horizon = int(height * (0.56 if scene.kind == "sea" else 0.46))
    picture = Image.new("RGB", (width, height), scene.sky[1])
    picture.paste(_graded((width, horizon), *scene.sky), (0, 0))
    _strew_stars(picture, chance, scene, horizon)
    _shine(picture, scene)
    if scene.kind == "sea":
        _flood(picture, chance, scene, horizon)
    else:
        _raise_land(picture, chance, scene, horizon)
    small = picture.resize(scene.size, Image.Resampling.LANCZOS)
    out = io.BytesIO()
    _grained(small).save(out, "JPEG", quality=88)
    return out.getvalue()


def _mixed(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _graded(size: tuple[int, int], top: Colour, bottom: Colour) -> Image.Image:
    mask = Image.linear_gradient("L").resize(size, Image.Resampling.BICUBIC)
    return Image.composite(Image.new("RGB", size, bottom), Image.new("RGB", size, top), mask)


def _strew_stars(picture: Image.Image, chance: random.Random, scene: Scene, horizon: int) -> None:
    pen = ImageDraw.Draw(picture)
    for _ in range(scene.stars):
        x, y = chance.uniform(0, picture.width), chance.uniform(0, horizon * 0.9)
        radius = chance.choice((1, 1, 1.5, 2.5)) * FINE / 2
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_mixed(scene.sky[0], scene.light, 0.9))


def _shine(picture: Image.Image, scene: Scene) -> None:
    """The sun or the moon, with what it lights up around it."""
    x, y, share = scene.sun
    centre = (int(picture.width * x), int(picture.height * y))
    disc = int(picture.width * share)
    for reach, strength in ((7, 0.35), (3, 0.45)):
        side = disc * reach * 2
        glow = ImageChops.invert(Image.radial_gradient("L")).resize((side, side), Image.Resampling.BICUBIC)
        mask = glow.point([int(level * strength * level / 255) for level in range(256)])
        picture.paste(scene.light, (centre[0] - side // 2, centre[1] - side // 2), mask)
    box = (centre[0] - disc, centre[1] - disc, centre[0] + disc, centre[1] + disc)
    ImageDraw.Draw(picture).ellipse(box, fill=_mixed(scene.light, (255, 255, 255), 0.45))


def _raise_land(picture: Image.Image, chance: random.Random, scene: Scene, horizon: int) -> None:
    """Ridges behind each other, paler the farther away, with mist between them."""
    width, height = picture.size
    layers = 6
    for layer in range(layers):
        near = layer / (layers - 1)
        base = horizon + int((height - horizon) * 0.86 * near**1.15)
        line = _ridge(chance, width, rough=scene.kind == "peaks" and layer < 4, swing=height * (0.17 - 0.09 * near))
        mask = Image.new("L", picture.size)
        pen = ImageDraw.Draw(mask)
        points = [(x, base - rise) for x, rise in line]
        pen.polygon([(0, height), *points, (width, height)], fill=255)
        if scene.kind == "woods" and layer >= 3:
            _plant(pen, chance, points, tall=height * (0.03 + 0.10 * (near - 0.5)))
        colour = _mixed(*scene.land, near)
        misty = _mixed(colour, scene.sky[1], 0.55 * (1 - near) + 0.12)
        top = max(0, int(min(y for _, y in points) - (height * 0.1 if scene.kind == "woods" else 0)))
        ground = Image.new("RGB", picture.size, misty)
        ground.paste(_graded((width, max(1, int(height * 0.30))), colour, misty), (0, top))
        picture.paste(ground, (0, 0), mask)


def _ridge(chance: random.Random, width: int, *, rough: bool, swing: float) -> list[tuple[float, float]]:
    """A line from left to right, as heights above its base."""
    if not rough:
        waves = [(chance.uniform(0.3, 1.9), chance.uniform(0, math.tau), chance.uniform(0.1, 0.45)) for _ in range(4)]
        steps = range(0, width + 8, 8)
        return [(x, swing * sum(a * math.sin(math.tau * f * x / width + p) for f, p, a in waves)) for x in steps]
    heights = [chance.uniform(-0.2, 0.9) for _ in range(6)]
    jag = 0.55
    while len(heights) < 300:
        between = [(a + b) / 2 + chance.uniform(-jag, jag) for a, b in itertools.pairwise(heights)]
        heights = [each for pair in zip(heights, between, strict=False) for each in pair] + heights[-1:]
        jag *= 0.5
    return [(width * place / (len(heights) - 1), swing * 1.5 * rise) for place, rise in enumerate(heights)]


def _plant(pen: ImageDraw.ImageDraw, chance: random.Random, points: list[tuple[float, float]], *, tall: float) -> None:
    """Firs along a ridge."""
    for x, y in points[:: max(1, int(tall / 22))]:
        if chance.random() < 0.25:
            continue
        tree = tall * chance.uniform(0.5, 1.25)
        for part in range(3):
            foot, wide = y + 6 - tree * part * 0.27, tree * (0.24 - 0.055 * part)
            pen.polygon([(x - wide, foot), (x, foot - tree * 0.5), (x + wide, foot)], fill=255)


def _flood(picture: Image.Image, chance: random.Random, scene: Scene, horizon: int) -> None:
    """Water up to the horizon, on which the light lies in strips, and an island in front of it."""
    width, height = picture.size
    picture.paste(_graded((width, height - horizon), *scene.land), (0, horizon))
    strips = Image.new("L", picture.size)
    pen = ImageDraw.Draw(strips)
    centre = width * scene.sun[0]
    for _ in range(700):
        depth = chance.random() ** 1.6
        y = horizon + depth * (height - horizon)
        spread = width * (0.03 + 0.22 * depth)
        x, half = chance.gauss(centre, spread * 0.6), spread * chance.uniform(0.05, 0.35)
        pen.rectangle((x - half, y, x + half, y + (1 + 3 * depth) * FINE / 2), fill=chance.randint(30, 150))
    picture.paste(scene.light, (0, 0), strips.filter(ImageFilter.GaussianBlur(FINE)))
    for share, tall in ((0.55, 0.05), (0.8, 0.028)):
        line = _ridge(chance, int(width * 0.5), rough=True, swing=height * tall)
        left = width * (chance.uniform(-0.2, 0.05) if share < 0.7 else chance.uniform(0.55, 0.75))
        hill = [(left + x, horizon - max(0.0, rise + height * tall) * math.sin(math.pi * x / (width * 0.5)) ** 0.7)
                for x, rise in line if 0 < x < width * 0.5]  # fmt: skip
        ImageDraw.Draw(picture).polygon([(left, horizon), *hill, (left + width * 0.5, horizon)],
                                        fill=_mixed(scene.sky[1], scene.land[1], share))  # fmt: skip


def _grained(picture: Image.Image) -> Image.Image:
    """As a photograph has it, so that soft gradients show no steps. The same grain in every run."""
    chance = random.Random(0)  # noqa: S311  # as above
    noise = Image.frombytes("L", picture.size, chance.randbytes(picture.width * picture.height))
    grain = noise.point([round(128 + (level - 127.5) * 0.1) for level in range(256)])
    return ImageChops.overlay(picture, grain.convert("RGB"))


def _scene(
    name: str, size: tuple[int, int], colours: str, sun: tuple[float, float, float], kind: str, stars: int = 0
) -> Scene:
    """`colours`: of the sky, top and horizon; of the land, far and near; of the light."""
    high, low, far, near, light = (ImageColor.getrgb(each)[:3] for each in colours.split())
    return Scene(name, size, sky=(high, low), land=(far, near), light=light, sun=sun, kind=kind, stars=stars)


#: What the gallery of the screenshots shows, the oldest first.
SCENES = (
    _scene("First light", (900, 1200), "#6276a8 #facdaa #be96a0 #26243c #ffe2b8", (0.62, 0.36, 0.05), "peaks"),
    _scene("Salt flats", (1200, 760), "#78aac8 #f0e4d0 #96b4be #466e82 #fff4dc", (0.3, 0.34, 0.03), "sea"),
    _scene("Fir wood in October", (1000, 1000), "#96a0a0 #ecd6b4 #b0a082 #1e2c26 #ffecc8", (0.5, 0.3, 0.04), "woods"),
    _scene("Dunes at noon", (1200, 800), "#609cce #e8dec8 #e2be8c #be7842 #fffae8", (0.78, 0.16, 0.035), "dunes"),
    _scene("Night on the pass", (900, 1250), "#0a102c #3a4a80 #3c4c7a #080c1a #eceefa", (0.3, 0.2, 0.04), "peaks", 260),
    _scene("Red evening", (1200, 800), "#542e5c #f08454 #b0585c #241228 #ffce82", (0.5, 0.4, 0.055), "hills"),
    _scene("Harbour mouth", (1200, 900), "#466ea0 #fac896 #9696aa #1e385a #ffdca0", (0.66, 0.48, 0.035), "sea"),
    _scene("Tea gardens", (900, 1100), "#a0c4d2 #f0ecd6 #96ba96 #1c4a34 #fffae2", (0.2, 0.2, 0.04), "hills"),
    _scene("Blue hour", (1200, 820), "#1e3060 #9696be #6e78a8 #121a38 #faece0", (0.8, 0.3, 0.022), "woods", 60),
    _scene("Copper dunes", (900, 1200), "#eebe96 #fae2c4 #dea074 #783a22 #fff6e2", (0.66, 0.24, 0.07), "dunes"),
    _scene("Above the clouds", (1200, 760), "#588cc6 #f6ece2 #ced6e2 #465c80 #fffaec", (0.4, 0.22, 0.035), "peaks"),
    _scene("Still lake", (1000, 1000), "#e2aa96 #fae2c4 #dcb0a0 #404a68 #fff0d2", (0.45, 0.46, 0.05), "sea"),
    _scene("Monsoon hills", (1200, 900), "#788c92 #ced8d0 #96b0a0 #16382e #f0f4ec", (0.55, 0.26, 0.03), "hills"),
    _scene("Desert moon", (1200, 800), "#18183a #965c70 #804e64 #1e1024 #fae8d6", (0.24, 0.22, 0.05), "dunes", 140),
    _scene("The road to Araku", (900, 1180), "#96bad6 #fae8ca #aabaaa #224232 #fff2d6", (0.7, 0.3, 0.04), "woods"),
    _scene("Godavari at dusk", (1200, 820), "#5a4a80 #faac78 #d68c7c #282248 #ffdea0", (0.56, 0.5, 0.045), "sea"),
)  # fmt: skip
