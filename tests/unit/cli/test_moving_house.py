"""`backup`, `restore`, `migrate-db`, `seed`, `reset`: what they do, what they say, and how they end."""

import json

import pytest

from tests.factories import pictures
from tests.services.processes import free_port

PICTURE = pictures.jpeg(40, 30)


@pytest.fixture
def one_image(furnish):
    """A service with one image."""
    return furnish(lambda home: home.upload(PICTURE))


class TestBackup:
    def test_there_and_back(self, chitram, environment, one_image, data, tmp_path):
        made = chitram("backup", "copy")
        assert made.exit_code == 0, made.output
        assert "1 images" in made.output
        assert json.loads((tmp_path / "copy/manifest.json").read_text())["objects"] == 1
        assert (tmp_path / "copy/secret.key").read_bytes() == (data / "secret.key").read_bytes()
        environment.setenv("DATA_DIR", str(tmp_path / "again"))
        back = chitram("restore", "copy")
        assert back.exit_code == 0, back.output
        assert (tmp_path / "again/secret.key").read_bytes() == (data / "secret.key").read_bytes()
        assert (tmp_path / "again/secret.key").stat().st_mode & 0o077 == 0
        assert chitram("doctor").exit_code == 0

    def test_lost_files_are_told(self, chitram, one_image, data):
        (path,) = [path for path in (data / "storage/blobs").rglob("*") if path.is_file()]
        path.unlink()
        made = chitram("backup", "copy")
        assert made.exit_code == 1
        assert f"blobs/{path.parent.name}/{path.name}" in made.output

    def test_where_there_is_none(self, chitram):
        back = chitram("restore", "nowhere")
        assert back.exit_code == 1
        assert "no whole backup" in back.output

    def test_nothing_is_written_over(self, chitram, one_image):
        chitram("backup", "copy")
        back = chitram("restore", "copy")
        assert back.exit_code == 1
        assert "has rows" in back.output


class TestMigrateDb:
    def test_to_another_file(self, chitram, environment, one_image, tmp_path):
        environment.setenv("TARGET_DATABASE_URL", f"sqlite:///{tmp_path}/new.db")
        assert "READ_ONLY" in chitram("migrate-db").output
        environment.setenv("READ_ONLY", "true")
        moved = chitram("migrate-db")
        assert (moved.exit_code, "the same" in moved.output) == (0, True), moved.output
        environment.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/new.db")
        assert chitram("doctor").output.startswith("1 images over 1 stored files")

    def test_what_cannot_be(self, chitram, environment, one_image, data):
        environment.setenv("READ_ONLY", "true")
        for url in ("mysql://localhost/chitram", f"sqlite:///{data}/chitram.db"):
            refused = chitram("migrate-db", "--to", url)
            assert refused.exit_code == 1, refused.output
            assert "DATABASE_URL" in refused.output or "sqlite:///" in refused.output


def test_a_store_is_not_moved_onto_itself(chitram, environment, one_image):
    environment.setenv("READ_ONLY", "true")
    refused = chitram("migrate-store", "--to", "local")
    assert (refused.exit_code, "in use already" in refused.output) == (1, True)
    refused = chitram("migrate-store", "--to", "minio")
    assert (refused.exit_code, "MINIO_ENDPOINT" in refused.output) == (1, True)


class TestSeedAndReset:
    def test_something_to_look_at_and_nothing_at_all(self, chitram, environment, data):
        chitram("migrate")
        assert chitram("seed", "--count", "2").exit_code == 0
        assert chitram("doctor").output.startswith("2 images over 2 stored files")
        kept = chitram("reset", input="n\n")
        assert kept.exit_code == 1
        assert chitram("doctor").output.startswith("2 images")
        assert "2 images and 2 files erased" in chitram("reset", "--yes").output
        assert chitram("doctor").output.startswith("0 images over 0 stored files")
        assert [path for path in (data / "storage/blobs").rglob("*") if path.is_file()] == []

    def test_the_same_pictures_each_time(self, chitram):
        chitram("migrate")
        names = [line.split("\t")[2] for line in chitram("seed", "--count", "2").stdout.splitlines() if "\t" in line]
        again = [line.split("\t")[2] for line in chitram("seed", "--count", "2").stdout.splitlines() if "\t" in line]
        assert names == again
        assert chitram("doctor").output.startswith("4 images over 2 stored files")

    def test_production_is_not_erased_by_mistake(self, chitram, environment, one_image):
        environment.setenv("APP_ENV", "production")
        environment.setenv("ALLOWED_HOSTS", "img.example.org")
        refused = chitram("reset", "--yes")
        assert (refused.exit_code, "--production" in refused.output) == (2, True)
        assert chitram("doctor").output.startswith("1 images")

    def test_a_database_without_a_schema_is_told(self, chitram):
        assert chitram("seed").exit_code == 1
        assert chitram("reset", "--yes").exit_code == 1


class TestEnvironment:
    def test_what_is_missing_is_said(self, chitram, environment):
        before = chitram("doctor", "env")
        assert before.exit_code == 1
        assert "run `chitram migrate`" in before.stdout
        chitram("migrate")
        after = chitram("doctor", "env")
        assert (after.exit_code, "bad" in after.stdout) == (0, False), after.stdout

    @pytest.mark.parametrize(("variable", "name"), [("REDIS_URL", "redis"), ("CELERY_BROKER_URL", "workers")])
    def test_services_that_are_not_there(self, chitram, environment, variable, name):
        chitram("migrate")
        environment.setenv(variable, f"redis://127.0.0.1:{free_port()}/0")
        said = chitram("doctor", "env")
        assert said.exit_code == 1
        assert [line.split()[1] for line in said.stdout.splitlines() if line.startswith("bad")] == [name]
        assert variable in said.stdout

    def test_a_store_of_another_database(self, chitram, environment, one_image, data, tmp_path):
        environment.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/other.db")
        chitram("migrate")
        said = chitram("doctor", "env")
        assert said.exit_code == 1
        assert "belongs to another database" in said.stdout
