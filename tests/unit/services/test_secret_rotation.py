"""Another secret: who is signed in stays so, and what was derived is derived again, while the old one is known."""

from pydantic import SecretStr

from chitram.domain.idempotency import IdempotencyKey
from chitram.settings import AppSettings, Settings
from tests.factories import pictures
from tests.factories.applications import house
from tests.unit.services.people import upload
from tests.unit.services.stores import delete

PHOTO = pictures.jpeg(48, 32)
KEY = IdempotencyKey("address:192.0.2.7", "0123456789abcdef")


class TestSecretRotation:
    def settings_of(self, directory, secret: str, *previous: str) -> Settings:
        keys = {"secret_key": SecretStr(secret), "previous_secret_keys": SecretStr(",".join(previous))}
        return Settings(app=AppSettings(env="test", data_dir=directory, **keys))

    async def test_the_delete_token_stays_what_it_was(self, tmp_path):
        old, new = "o" * 40, "n" * 40
        async with house(tmp_path, settings=self.settings_of(tmp_path, old)) as home:
            first = await upload(home, PHOTO, key=KEY)
        async with house(tmp_path, settings=self.settings_of(tmp_path, new, "x" * 40, old)) as home:
            again = await upload(home, PHOTO, key=KEY)
            assert (again.record.image.id, again.delete_token) == (first.record.image.id, first.delete_token)
            later = IdempotencyKey(KEY.scope, "a key that came later")
            second = await upload(home, PHOTO, key=later)
        async with house(tmp_path, settings=self.settings_of(tmp_path, new)) as home:
            forgotten = await upload(home, PHOTO, key=KEY)
            assert (forgotten.record.image.id, forgotten.delete_token) == (first.record.image.id, None)
            assert (await upload(home, PHOTO, key=later)).delete_token == second.delete_token
            await delete(home, first)

    async def test_no_other_server_derives_the_same_token(self, tmp_path):
        tokens = set()
        for number in range(2):
            directory = tmp_path / str(number)
            directory.mkdir()
            async with house(directory) as home:
                service = home.application.uploads._repeats
                tokens.add(service.delete_token(KEY, image_id="AAAAAAAAAAA"))
                tokens.add(service.delete_token(KEY, image_id="AAAAAAAAAAB"))
        assert len(tokens) == 4
