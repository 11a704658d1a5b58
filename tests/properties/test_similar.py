"""Near-duplicates through the whole service: exactly the public images within the distance, whatever was uploaded."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from chitram.domain.access import ANONYMOUS
from chitram.domain.images import Visibility
from tests.counts import count
from tests.factories.applications import House, house
from tests.factories.rows import add_blob, add_image, later

BITS = 64
WORDS = st.integers(0, 2**BITS - 1)


@st.composite
def neighbourhoods(draw: st.DrawFn) -> list[tuple[int, Visibility]]:
    """Hashes with a visibility each: some far from each other, most of them a few turned bits away from another one."""
    hashes = draw(st.lists(WORDS, min_size=1, max_size=3))
    for _ in range(draw(st.integers(0, 12))):
        bits = draw(st.sets(st.integers(0, BITS - 1), max_size=18))
        hashes.append(draw(st.sampled_from(hashes)) ^ sum(1 << bit for bit in bits))
    return [(word, draw(st.sampled_from(Visibility))) for word in hashes]


async def fill(home: House, images: list[tuple[int, Visibility]]) -> list[str]:
    """One image a hash; their ids."""
    ids = []
    async with home.foundation.database.begin() as work:
        for number, (word, visibility) in enumerate(images):
            blob = await add_blob(work, number, perceptual_hash=word)
            added = await add_image(
                work, number, blob_id=blob.id, visibility=visibility, created_at=later(number), delete_token_hash=None
            )
            ids.append(added.id)
    return ids


async def check(images: list[tuple[int, Visibility]], distance: int) -> None:
    with TemporaryDirectory() as name:
        async with house(Path(name)) as home:
            ids = await fill(home, images)
            for asked, (word, visibility) in zip(ids, images, strict=True):
                if visibility is Visibility.PRIVATE:
                    continue
                found = await home.application.images.similar(asked, distance=distance, viewer=ANONYMOUS)
                expected = {
                    other: (word ^ other_word).bit_count()
                    for other, (other_word, shown) in zip(ids, images, strict=True)
                    if other != asked and shown is Visibility.PUBLIC and (word ^ other_word).bit_count() <= distance
                }
                assert {match.record.image.id: match.distance for match in found} == expected
                assert [match.distance for match in found] == sorted(expected.values())


@given(images=neighbourhoods(), distance=st.integers(0, 16))
@settings(
    max_examples=count(12, 400),
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow],
)
def test_neighbours_are_exactly_the_public_ones_within_the_distance(images, distance):
    asyncio.run(check(images, distance))
