"""One's own images: all of them, searched, sorted, and several changed or deleted at once."""

import asyncio
from datetime import timedelta

import pytest

from chitram.adapters.cdn.records import PurgingRecordCache
from chitram.domain.errors import ServiceUnavailable
from chitram.domain.images import Order
from chitram.entrypoints.web.forms import MOST_CHOICES
from chitram.entrypoints.web.my_images import AT_A_TIME, PAGE_SIZE
from tests.factories import pictures
from tests.factories.interleaving import failing, interpose
from tests.integration.pages.browsing import HTMX, Page, service
from tests.integration.pages.conftest import member
from tests.integration.requests import IMAGES, UNKNOWN, uploaded


async def fill(home, browser, names, visibility="unlisted"):
    """Images of these names, one after the other; their ids."""
    made = []
    for name in names:
        home.clock.advance(timedelta(seconds=1))
        fields = {"visibility": visibility}
        made.append((await uploaded(browser.client, headers=browser.account.bearer, name=name, fields=fields))["id"])
    return made


def shown(page):
    return [found["value"] for found in page.all("input") if found.get("name") == "image"]


class TestList:
    async def test_empty(self, ada):
        page = await ada.open("/my-images")
        assert "You have not uploaded anything yet" in page.text
        assert not page.has("my-images")

    async def test_ones_own_whatever_others_may_see(self, home, ada, bob):
        made = [each for v in ("public", "unlisted", "private") for each in await fill(home, ada, ["a.jpg"], v)]
        theirs = await fill(home, bob, ["b.jpg"], "public")
        assert shown(await ada.open("/my-images")) == made[::-1]
        assert shown(await bob.open("/my-images")) == theirs

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("", [3, 2, 1, 0]),
            ("sort=oldest", [0, 1, 2, 3]),
            ("sort=name", [3, 1, 0, 2]),
            ("sort=name&name=sea", [0, 2]),
            ("name=SEA", [2, 0]),
            ("name=%20sea%20&sort=oldest", [0, 2]),
            ("name=_", [3]),
            ("name=%25", []),
            ("name=", [3, 2, 1, 0]),
            ("name=%00hi%00ll", [1]),
        ],
    )
    async def test_searched_and_sorted(self, home, ada, query, expected):
        made = await fill(home, ada, ["sea 1.jpg", "hill.jpg", "Sea 2.jpg", "a_b.jpg"])
        page = await ada.open(f"/my-images?{query}")
        assert shown(page) == [made[number] for number in expected]
        assert page.has("name")
        assert bool(page.form("/my-images").buttons if expected else page.forms)

    async def test_titles_are_searched_too(self, home, ada):
        made = await fill(home, ada, ["a.jpg", "b.jpg"])
        await ada.client.patch(f"{IMAGES}/{made[0]}", json={"title": "The Sea"}, headers=ada.account.bearer)
        assert shown(await ada.open("/my-images?name=the%20s")) == made[:1]

    async def test_nothing_found(self, home, ada):
        await fill(home, ada, ["a.jpg"])
        page = await ada.open("/my-images?name=zebra")
        assert "No file name contains “zebra”" in page.text
        assert page.by_id("name")["value"] == "zebra"

    @pytest.mark.parametrize("query", ["sort=largest", "cursor=x", f"name={'x' * 101}", "deleted=-1"])
    async def test_what_cannot_be_asked(self, ada, query):
        assert "That did not work" in (await ada.open(f"/my-images?{query}", status=422)).text

    async def test_by_what_they_are_called(self, home, ada):
        made = await fill(home, ada, ["b.jpg", "a.jpg", "c.jpg"])
        await ada.client.patch(f"{IMAGES}/{made[2]}", json={"title": "AA"}, headers=ada.account.bearer)
        assert shown(await ada.open("/my-images?sort=name")) == [made[1], made[2], made[0]]

    async def test_the_largest_first(self, ada):
        made = [
            (await uploaded(ada.client, pictures.jpeg(side, 40), headers=ada.account.bearer))["id"]
            for side in (300, 900, 40, 600)
        ]
        page = await ada.open("/my-images?sort=size")
        assert shown(page) == [made[1], made[3], made[0], made[2]]

    async def test_every_order_is_offered_and_the_chosen_one_stays(self, home, ada):
        await fill(home, ada, ["a.jpg"])
        for order in Order:
            page = await ada.open(f"/my-images?sort={order}")
            offered = [found["value"] for found in page.all("option") if found["value"] in list(Order)]
            assert offered == list(Order)
            (chosen,) = [f["value"] for f in page.all("option") if "selected" in f and f["value"] in list(Order)]
            assert chosen == order

    @pytest.mark.parametrize("sort", ["newest", "oldest", "name", "size"])
    async def test_page_by_page(self, home, ada, sort):
        made = await fill(home, ada, [f"x{number:02}.jpg" for number in range(PAGE_SIZE + 2)])
        if sort == "size":
            made.sort()  # They are all as large, so their ids decide.
        page = await ada.open(f"/my-images?name=x&sort={sort}")
        (more,) = [found["href"] for found in page.all("a") if found.get("rel") == "next"]
        part = await ada.open(more, headers=HTMX)
        assert {"html", "form"}.isdisjoint(dict(part.elements))
        expected = made if sort in ("oldest", "name") else made[::-1]
        assert shown(page) + shown(part) == shown(page) + shown(await ada.open(more)) == expected

    async def test_a_cursor_is_for_its_order(self, home, ada):
        await fill(home, ada, [f"{number}.jpg" for number in range(PAGE_SIZE + 1)])
        (more,) = [f["href"] for f in (await ada.open("/my-images?sort=name")).all("a") if f.get("rel") == "next"]
        await ada.open(more.replace("sort=name", "sort=size"), status=422)

    async def test_a_cursor_shows_nobody_elses(self, home, ada, bob):
        await fill(home, ada, [f"{number}.jpg" for number in range(PAGE_SIZE + 1)])
        (more,) = [f["href"] for f in (await ada.open("/my-images")).all("a") if f.get("rel") == "next"]
        assert shown(await bob.open(more)) == []


class TestChosen:
    async def test_made_visible_to_others(self, home, ada, stranger):
        made = await fill(home, ada, ["a.jpg", "b.jpg", "c.jpg"])
        changes = {"image": made[:2], "action": "visibility", "visibility": "public"}
        answer = await ada.fill_in("/my-images", "/my-images", **changes)
        assert answer.headers["location"] == "/my-images?changed=2"
        assert "2 changed." in (await ada.open("/my-images?changed=2")).text
        assert {link for link in (await stranger.open("/")).links if "/image/" in link} == {
            f"/image/{image_id}" for image_id in made[:2]
        }

    async def test_deleted_after_asking(self, home, ada):
        made = await fill(home, ada, ["a.jpg", "b.jpg", "c.jpg"])
        changes = {"image": made[:2], "action": "delete"}
        asked = Page(await ada.fill_in("/my-images", "/my-images", status=200, **changes))
        assert "Delete these pictures?" in asked.text
        assert shown(await ada.open("/my-images")) == made[::-1], "asking changes nothing"
        form = asked.form("/my-images")
        (button,) = form.buttons
        assert form.filled({})["image"] == made[:2]
        answer = await ada.send(form, **dict([button]))
        assert answer.headers["location"] == "/my-images?deleted=2"
        assert "2 deleted." in (await ada.open("/my-images?deleted=2")).text
        assert shown(await ada.open("/my-images")) == made[2:]

    async def test_nothing_chosen(self, home, ada):
        await fill(home, ada, ["a.jpg"])
        answer = await ada.fill_in("/my-images", "/my-images", action="delete")
        page = await ada.open(answer.headers["location"])
        assert "Tick at least one picture first." in page.text

    @pytest.mark.parametrize("changes", [{"action": "visibility", "visibility": "x"}, {"visibility": None}])
    async def test_nothing_that_we_know(self, home, ada, changes):
        made = await fill(home, ada, ["a.jpg"])
        answer = await ada.fill_in("/my-images", "/my-images", image=made, **changes)
        assert answer.headers["location"] == "/my-images"
        assert (await ada.client.get(f"{IMAGES}/{made[0]}")).json()["visibility"] == "unlisted"

    @pytest.mark.parametrize("action", ["delete", "visibility"])
    async def test_those_of_others_stay_as_they_are(self, home, ada, bob, action):
        theirs = await fill(home, bob, ["b.jpg"], "public")
        mine = await fill(home, ada, ["a.jpg"])
        chosen = [*theirs, UNKNOWN, "x", *mine, *mine]
        changes = {"image": chosen, "action": action, "visibility": "private", "confirmed": "yes"}
        answer = await ada.fill_in("/my-images", "/my-images", **changes)
        assert answer.headers["location"].endswith("=1")
        assert (await bob.client.get(f"{IMAGES}/{theirs[0]}")).json()["visibility"] == "public"

    async def test_an_admin_deletes_others_by_their_pages_alone(self, home, ada, admin):
        theirs = await fill(home, ada, ["a.jpg"], "public")
        await fill(home, admin, ["b.jpg"])
        changes = {"image": theirs, "action": "delete", "confirmed": "yes"}
        assert (await admin.fill_in("/my-images", "/my-images", **changes)).headers["location"].endswith("chosen=none")
        await ada.open(f"/image/{theirs[0]}")

    async def test_more_than_fit_in_one_form(self, home, ada):
        await fill(home, ada, ["a.jpg"])
        chosen = [f"{number:011d}" for number in range(MOST_CHOICES + 21)]
        await ada.fill_in("/my-images", "/my-images", status=400, image=chosen, action="delete")

    async def test_strangers_are_asked_to_log_in(self, stranger):
        answer = await stranger.client.post("/my-images", data={"image": UNKNOWN})
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/my-images")


class Leases:
    """Caches in front of us, for whose leases a change waits. A wait ends when AT_A_TIME are under way: `rounds` of
    them have ended together. One that stays `alone` for long ends this.
    """

    def __init__(self):
        self.counted, self.alone = False, 0
        self.waiting = self.most = self.rounds = 0
        self.all_here = asyncio.Barrier(AT_A_TIME)

    def arrange(self, foundation):
        foundation.cache = PurgingRecordCache(foundation.cache, purge=self)

    async def purge(self, image_ids):
        if not self.counted or self.alone:
            return
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        try:
            # Below what an after-commit effect may take.
            async with asyncio.timeout(4):
                place = await self.all_here.wait()
            self.rounds += place == 0
            # More would come now.
            await asyncio.sleep(0.1)
        except TimeoutError:
            self.alone += 1
        finally:
            self.waiting -= 1


class TestMany:
    """Each change waits until caches in front of us have forgotten: a second each, so they wait together."""

    @pytest.mark.parametrize("action", ["delete", "visibility"])
    async def test_wait_together(self, tmp_path, action):
        leases, number = Leases(), 5 * AT_A_TIME
        async with service(tmp_path, arrange=leases.arrange) as (home, stranger):
            ada = await member(stranger.client, "ada")
            made = await fill(home, ada, [f"{n}.jpg" for n in range(number)])
            leases.counted = True
            changes = {"image": made, "action": action, "visibility": "public", "confirmed": "yes"}
            answer = await ada.fill_in("/my-images", "/my-images", **changes)
            assert answer.headers["location"].endswith(f"ed={number}")
            assert (leases.rounds, leases.most, leases.alone) == (5, AT_A_TIME, 0)
            left = shown(await ada.open("/my-images"))
            assert left == [] if action == "delete" else len(left) == min(number, PAGE_SIZE)

    async def test_after_a_failure_nothing_is_begun(self, tmp_path):
        async with service(tmp_path, arrange=interpose) as (home, stranger):
            ada = await member(stranger.client, "ada")
            made = await fill(home, ada, [f"{n}.jpg" for n in range(3 * AT_A_TIME)])
            form = (await ada.open("/my-images")).form("/my-images")
            home.foundation.database.before["begin"].append(failing(ServiceUnavailable()))
            await ada.send(form, status=503, image=made, action="delete", confirmed="yes")
            assert not home.foundation.database.before["begin"]
            assert len(shown(await ada.open("/my-images"))) > 2 * AT_A_TIME
