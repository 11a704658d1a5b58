"""Images of accounts over HTTP: who may change them, and taking anonymous ones into an account."""

import json
from datetime import timedelta

import pytest

from chitram.adapters.db.tables import images as images_table
from chitram.domain.users import Role
from chitram.settings import AppSettings, LimitSettings, Settings
from tests.factories.accounts import USERS, Account, api_token, bearer, signed_up
from tests.factories.applications import house
from tests.integration.requests import IMAGES, UNKNOWN, code, post, token, uploaded
from tests.integration.standing import EMBEDDED

ALLOWED = {"visibility", "title", "description"}


@pytest.fixture
async def ada(client) -> Account:
    return await signed_up(client, "ada")


@pytest.fixture
async def bob(client) -> Account:
    return await signed_up(client, "bob")


@pytest.fixture
async def admin(client, home) -> Account:
    account = await signed_up(client, "root")
    await home.application.administration.set_role(account.email, role=Role.ADMIN)
    return account


def refused(answer, status, expected):
    assert (answer.status_code, code(answer)) == (status, expected), answer.text
    return True


async def edit(client, image, account=None, **changes):
    headers = account.bearer if account is not None else {}
    return await client.patch(f"{IMAGES}/{image['id']}", json=changes, headers=headers)


class TestEditing:
    async def test_each_field_alone_and_all_together(self, client, ada):
        image = await uploaded(client, headers=ada.bearer)
        expected = {name: value for name, value in image.items() if name not in ("delete_token", "duplicate_of")}
        assert (expected["title"], expected["description"]) == (None, None)
        for changes in (
            {"title": "Sunset"},
            {"description": "Two\nlines"},
            {"visibility": "public"},
            {},
            {"title": None, "description": "Other", "visibility": "private"},
        ):
            answer = await edit(client, image, ada, **changes)
            expected |= changes
            assert (answer.status_code, answer.json()) == (200, expected)
            assert answer.headers["cache-control"] == "no-store"
            found = await client.get(f"{IMAGES}/{image['id']}", headers=ada.bearer)
            assert found.json() == expected

    @pytest.mark.parametrize(
        ("field", "sent", "kept"),
        [
            ("title", "  a \r\n\t b\x07\x1b[0m\u202e ", "a b[0m"),
            ("title", "", None),
            ("title", " \n ", None),
            ("title", "\u200b\u3164\ufe0f", None),
            ("title", "👩\u200d🚀", "👩\u200d🚀"),
            ("title", "చిత్రం 🖼", "చిత్రం 🖼"),
            ("title", "x" * 200, "x" * 200),
            ("description", "a\r\nb\rc\x00".rstrip("\x00") + "\x08\u2028\u0085", "a\nb\nc"),
            ("description", "\t\n", None),
            ("description", "\u2800\n\u200b", None),
            ("description", "<script>alert(1)</script>", "<script>alert(1)</script>"),
        ],
    )
    async def test_control_characters_are_taken_out(self, client, ada, field, sent, kept):
        image = await uploaded(client, headers=ada.bearer)
        answer = await edit(client, image, ada, **{field: sent})
        assert (answer.status_code, answer.json()[field]) == (200, kept)

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"visibility": "secret"}, "visibility"),
            ({"visibility": None}, "visibility"),
            ({"visibility": ["public", "private"]}, "visibility"),
            ({"visibility": ""}, "visibility"),
            ({"title": "x" * 201}, "title"),
            ({"title": 7}, "title"),
            ({"title": ["x"]}, "title"),
            ({"description": "x" * 5001}, "description"),
            ({"description": {}}, "description"),
            ({"title": "fine", "visibility": "secret"}, "visibility"),
        ],
    )
    async def test_what_cannot_be_is_refused_as_a_whole(self, client, ada, changes, field):
        image = await uploaded(client, headers=ada.bearer)
        answer = await edit(client, image, ada, **changes)
        assert refused(answer, 422, "VALIDATION_ERROR")
        assert [problem["field"] for problem in answer.json()["detail"]["details"]["errors"]] == [field]
        found = (await client.get(f"{IMAGES}/{image['id']}")).json()
        assert (found["title"], found["visibility"]) == (None, "unlisted")

    async def test_a_name_twice_is_refused(self, client, ada):
        image = await uploaded(client, headers=ada.bearer, fields={"visibility": "private"})
        headers = ada.bearer | {"Content-Type": "application/json"}
        body = '{"visibility": "private", "visibility": "public"}'
        answer = await client.patch(f"{IMAGES}/{image['id']}", content=body, headers=headers)
        assert refused(answer, 422, "VALIDATION_ERROR")
        assert (await client.get(f"{IMAGES}/{image['id']}")).status_code == 404

    async def test_nothing_else_can_be_set(self, client, home, ada, bob):
        """Every column of the table, and every field of the answers, as somebody might hope to write them."""
        image = await uploaded(client, headers=ada.bearer)
        columns = {column.name for column in images_table.columns}
        assert {"owner_id", "delete_token_hash", "blob_id", "created_at"} <= columns
        before = (await client.get(f"{IMAGES}/{image['id']}")).json()
        for name in (columns | set(image) | {"user_id", "is_admin", "role", "quota_bytes"}) - ALLOWED:
            for value in (bob.id, 1, True, None, "2001-01-01T00:00:00Z", "a" * 64):
                answer = await edit(client, image, ada, **{name: value})
                assert (answer.status_code, answer.json()) == (200, before), name
        async with home.foundation.database.read() as repositories:
            record = await repositories.images.get(image["id"])
        assert (record.image.owner_id, record.image.delete_token_hash) == (ada.id, None)

    async def test_answers_hold_nothing_that_is_not_for_others(self, client, ada):
        image = await uploaded(client, headers=ada.bearer, fields={"visibility": "public"})
        texts = [
            json.dumps(image),
            (await client.get(f"{IMAGES}/{image['id']}")).text,
            (await client.get(IMAGES)).text,
            (await client.get(f"{IMAGES}/{image['id']}/similar")).text,
        ]
        for secret in (ada.id, ada.email, "blobs/", "owner", "192.0.2.7", "hash"):
            assert not [text for text in texts if secret in text], secret


#: Who asks → what editing and deleting somebody's image of each visibility answers.
STRANGERS = ("nobody", "bob", "wrong token")


class TestOthers:
    async def headers(self, client, who, bob):
        if who == "bob":
            return bob.bearer
        other = await uploaded(client)
        return token(other) if who == "wrong token" else {}

    @pytest.mark.parametrize("who", STRANGERS)
    @pytest.mark.parametrize("visibility", ["public", "unlisted", "private"])
    async def test_change_nothing(self, client, ada, bob, who, visibility):
        image = await uploaded(client, headers=ada.bearer, fields={"visibility": visibility})
        path, headers = f"{IMAGES}/{image['id']}", await self.headers(client, who, bob)
        changes = await client.patch(path, json={"title": "x"}, headers=headers)
        deletion = await client.delete(path, headers=headers)
        verification = await client.post(f"{path}/verify", headers=headers)
        if visibility == "private":
            for answer in (changes, deletion, verification):
                assert refused(answer, 404, "IMAGE_NOT_FOUND")
        else:
            assert refused(changes, 403, "FORBIDDEN")
            expected = "INVALID_DELETE_TOKEN" if who == "wrong token" else "FORBIDDEN"
            assert refused(deletion, 403, expected)
            assert refused(verification, 403, expected)
        assert (await client.get(path, headers=ada.bearer)).json()["title"] is None

    async def test_access_is_checked_before_anything_is_read(self, client, ada, bob):
        image = await uploaded(client, headers=ada.bearer)
        nonsense = {"content": b"{", "headers": bob.bearer | {"Content-Type": "application/json"}}
        assert refused(await client.patch(f"{IMAGES}/{image['id']}", **nonsense), 403, "FORBIDDEN")
        for path in (UNKNOWN, "short", "%2e%2e"):
            assert refused(await client.patch(f"{IMAGES}/{path}", **nonsense), 404, "IMAGE_NOT_FOUND")
        mine = nonsense | {"headers": ada.bearer | {"Content-Type": "application/json"}}
        assert refused(await client.patch(f"{IMAGES}/{image['id']}", **mine), 400, "INVALID_REQUEST")

    async def test_nobody_edits_what_belongs_to_nobody(self, client, ada):
        image = await uploaded(client)
        for headers in ({}, token(image), ada.bearer, ada.bearer | token(image)):
            answer = await client.patch(f"{IMAGES}/{image['id']}", json={"title": "x"}, headers=headers)
            assert refused(answer, 403, "FORBIDDEN")

    async def test_owners_delete_and_verify_without_a_token(self, client, ada):
        image = await uploaded(client, headers=ada.bearer)
        assert image["delete_token"] is None
        verified = await client.post(f"{IMAGES}/{image['id']}/verify", headers=ada.bearer)
        assert (verified.status_code, verified.json()["match"]) == (200, True)
        assert (await client.delete(f"{IMAGES}/{image['id']}", headers=ada.bearer)).status_code == 204
        assert refused(await client.delete(f"{IMAGES}/{image['id']}", headers=ada.bearer), 404, "IMAGE_NOT_FOUND")

    @pytest.mark.parametrize("visibility", ["public", "unlisted", "private"])
    async def test_admins_delete_and_verify_but_look_no_further(self, client, ada, admin, visibility):
        image = await uploaded(client, headers=ada.bearer, fields={"visibility": visibility})
        path = f"{IMAGES}/{image['id']}"
        for address in (path, f"{path}/file", f"{path}/thumbnail", f"{path}/checksum", f"{path}/similar"):
            answer = await client.get(address, headers=admin.bearer)
            assert answer.status_code == (404 if visibility == "private" else 200)
        changes = await edit(client, image, admin, title="x")
        assert changes.status_code == (404 if visibility == "private" else 403)
        assert (await client.post(f"{path}/verify", headers=admin.bearer)).status_code == 200
        assert (await client.delete(path, headers=admin.bearer)).status_code == 204
        assert (await client.get(path, headers=ada.bearer)).status_code == 404

    async def test_admins_delete_what_belongs_to_nobody(self, client, admin):
        image = await uploaded(client)
        weak = await api_token(client, admin, "read", "upload")
        path = f"{IMAGES}/{image['id']}"
        assert refused(await client.delete(path, headers=bearer(weak)), 403, "DELETE_TOKEN_REQUIRED")
        assert (await client.delete(path, headers=admin.bearer)).status_code == 204


class TestConditions:
    """`If-Match` and `If-None-Match` of what changes an image, against the tag of its metadata."""

    async def test_an_edit_of_what_has_changed_since_is_refused(self, client, ada):
        image = await uploaded(client, headers=ada.bearer)
        path = f"{IMAGES}/{image['id']}"
        seen = (await client.get(path)).headers["etag"]

        async def change(title, **headers):
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.patch(path, json={"title": title}, headers=ada.bearer | named)

        assert (await change("first", if_match=seen)).status_code == 200
        assert refused(await change("second", if_match=seen), 412, "PRECONDITION_FAILED")
        now = (await client.get(path)).headers["etag"]
        assert refused(await change("second", if_none_match=now), 412, "PRECONDITION_FAILED")
        assert refused(await change("second", if_none_match="*"), 412, "PRECONDITION_FAILED")
        assert (await client.get(path)).json()["title"] == "first"
        assert (await change("second", if_match=f"{seen}, {now}")).status_code == 200
        assert (await change("third", if_none_match=now)).status_code == 200
        assert (await change("fourth", if_match="*")).status_code == 200
        assert (await client.get(path)).json()["title"] == "fourth"

    async def test_an_edit_that_changes_nothing_and_one_that_cannot_be(self, client, ada):
        image = await uploaded(client, headers=ada.bearer)
        path, headers = f"{IMAGES}/{image['id']}", ada.bearer | {"If-Match": '"another"'}
        assert refused(await client.patch(path, json={}, headers=headers), 412, "PRECONDITION_FAILED")
        answer = await client.patch(path, json={"title": 7}, headers=headers)
        assert refused(answer, 422, "VALIDATION_ERROR")
        seen = (await client.get(path)).headers["etag"]
        assert (await client.patch(path, json={}, headers=ada.bearer | {"If-Match": seen})).status_code == 200

    async def test_a_deletion_of_what_has_changed_since_is_refused(self, client, ada):
        anonymous = await uploaded(client)
        for image, holder in ((await uploaded(client, headers=ada.bearer), ada.bearer), (anonymous, token(anonymous))):
            path = f"{IMAGES}/{image['id']}"
            seen = (await client.get(path)).headers["etag"]
            for condition in ({"If-Match": '"another"'}, {"If-Match": f"W/{seen}"}, {"If-None-Match": seen}):
                answer = await client.delete(path, headers=holder | condition)
                assert refused(answer, 412, "PRECONDITION_FAILED")
                assert (await client.get(path)).status_code == 200
            assert (await client.delete(path, headers=holder | {"If-Match": seen})).status_code == 204
            assert refused(await client.delete(path, headers=holder | {"If-Match": "*"}), 404, "IMAGE_NOT_FOUND")

    @pytest.mark.parametrize("visibility", ["public", "unlisted", "private"])
    async def test_others_learn_nothing_by_them(self, client, ada, bob, visibility):
        image = await uploaded(client, headers=ada.bearer, fields={"visibility": visibility})
        path = f"{IMAGES}/{image['id']}"
        seen = (await client.get(path, headers=ada.bearer)).headers["etag"]
        for who in ({}, bob.bearer, {"X-Delete-Token": "x" * 43}):
            for send in (client.delete, lambda path, headers: client.patch(path, json={"title": "x"}, headers=headers)):
                plain = await send(path, headers=who)
                assert plain.status_code == (404 if visibility == "private" else 403)
                for tag in (seen, '"another"', "*"):
                    for condition in ("If-Match", "If-None-Match"):
                        answer = await send(path, headers=who | {condition: tag})
                        assert (answer.status_code, answer.json()) == (plain.status_code, plain.json())


class TestClaiming:
    async def claim(self, client, image, account, **headers):
        return await client.post(f"{IMAGES}/{image['id']}/claim", headers=account.bearer | headers)

    async def test_takes_the_image_into_the_account(self, client, ada):
        image = await uploaded(client)
        answer = await self.claim(client, image, ada, **token(image))
        assert answer.status_code == 200
        assert answer.json() == {name: image[name] for name in answer.json()}
        listed = (await client.get(f"{USERS}/images", headers=ada.bearer)).json()["items"]
        assert [item["id"] for item in listed] == [image["id"]]
        assert (await client.get(f"{USERS}/usage", headers=ada.bearer)).json()["used"]["files"] == 1
        path = f"{IMAGES}/{image['id']}"
        assert refused(await client.delete(path, headers=token(image)), 403, "INVALID_DELETE_TOKEN")
        assert (await edit(client, image, ada, visibility="private")).status_code == 200
        assert refused(await client.delete(path, headers=token(image)), 404, "IMAGE_NOT_FOUND")
        assert refused(await client.get(path, headers=token(image)), 404, "IMAGE_NOT_FOUND")
        assert (await client.delete(path, headers=ada.bearer)).status_code == 204

    async def test_by_the_query_too(self, client, ada):
        image = await uploaded(client)
        path = f"{IMAGES}/{image['id']}/claim?delete_token={image['delete_token']}"
        assert (await client.post(path, headers=ada.bearer)).status_code == 200

    async def test_takes_the_token_and_an_account(self, client, ada, bob):
        image, other = await uploaded(client), await uploaded(client)
        assert refused(await self.claim(client, image, ada), 403, "DELETE_TOKEN_REQUIRED")
        assert refused(await self.claim(client, image, ada, **token(other)), 403, "INVALID_DELETE_TOKEN")
        anonymous = await client.post(f"{IMAGES}/{image['id']}/claim", headers=token(image))
        assert refused(anonymous, 401, "UNAUTHORIZED")
        reading = bearer(await api_token(client, ada, "read", "delete"))
        answer = await client.post(f"{IMAGES}/{image['id']}/claim", headers=reading | token(image))
        assert refused(answer, 403, "FORBIDDEN")
        assert (await self.claim(client, image, ada, **token(image))).status_code == 200
        assert (await self.claim(client, image, ada, **token(image))).status_code == 200
        assert refused(await self.claim(client, image, bob, **token(image)), 403, "FORBIDDEN")
        gone = {"id": UNKNOWN}
        assert refused(await self.claim(client, gone, ada, **token(image)), 404, "IMAGE_NOT_FOUND")
        private = await uploaded(client, headers=bob.bearer, fields={"visibility": "private"})
        assert refused(await self.claim(client, private, ada, **token(image)), 404, "IMAGE_NOT_FOUND")


class TestGuessing:
    @pytest.fixture
    def settings(self, tmp_path) -> Settings:
        return Settings(
            app=AppSettings(env="test", data_dir=tmp_path),
            limits=LimitSettings(auth_attempts=3, per_minute=100),
        )

    @pytest.mark.parametrize("deed", ["delete", "verify", "claim"])
    @EMBEDDED  # time passes there as a test says, and in Redis by itself
    async def test_wrong_delete_tokens_have_a_limit(self, client, home, ada, deed):
        image, other = await uploaded(client), await uploaded(client)
        path = f"{IMAGES}/{image['id']}" + ("" if deed == "delete" else f"/{deed}")
        method = "DELETE" if deed == "delete" else "POST"
        account = ada.bearer if deed == "claim" else {}
        for _ in range(3):
            answer = await client.request(method, path, headers=account | token(other))
            assert refused(answer, 403, "INVALID_DELETE_TOKEN")
        answer = await client.request(method, path, headers=account | token(image))
        assert refused(answer, 429, "RATE_LIMIT_EXCEEDED")
        assert answer.headers.get_list("ratelimit-policy")[-1] == '"delete-token";q=3;w=300'
        assert answer.headers.get_list("ratelimit")[-1] == '"delete-token";r=0;t=300'
        async with home.client(address="198.51.100.9") as elsewhere:
            answer = await elsewhere.request(method, path, headers=account | token(other))
            assert refused(answer, 403, "INVALID_DELETE_TOKEN")
        home.clock.advance(timedelta(seconds=301))
        assert (await client.request(method, path, headers=account | token(image))).status_code < 300


async def test_the_rows_of_an_account_are_its_own(tmp_path, client, ada, bob):
    """Two accounts, the same bytes: one stored file, two images, neither knows of the other."""
    first = await uploaded(client, headers=ada.bearer)
    second = await uploaded(client, headers=bob.bearer)
    assert (first["duplicate_of"], second["duplicate_of"]) == (None, None)
    third = await uploaded(client, headers=bob.bearer)
    assert third["duplicate_of"] == second["id"]
    assert (await post(client, headers=ada.bearer)).json()["duplicate_of"] == first["id"]
    assert (await client.delete(f"{IMAGES}/{second['id']}", headers=bob.bearer)).status_code == 204
    assert (await client.get(first["url"])).status_code == 200


async def test_after_a_restart_everything_is_as_it_was(tmp_path, settings):
    async with house(tmp_path, settings=settings) as home, home.client() as client:
        account = await signed_up(client)
        image = await uploaded(client, headers=account.bearer, fields={"visibility": "private"})
        await edit(client, image, account, title="Kept")
    async with house(tmp_path, settings=settings) as home, home.client() as client:
        found = await client.get(f"{IMAGES}/{image['id']}", headers=account.bearer)
        assert (found.status_code, found.json()["title"]) == (200, "Kept")
        assert (await client.get(f"{IMAGES}/{image['id']}")).status_code == 404
