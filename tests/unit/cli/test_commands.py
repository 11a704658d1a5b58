"""`chitram`: what each command does, what it prints, and how it ends."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from chitram import __version__
from chitram.adapters.db import sqlite_schema
from chitram.domain.jobs import JobKind, NewJob
from tests.factories import pictures
from tests.factories.servers import clean_environment
from tests.services import nginx

PHOTO = pictures.jpeg(24, 16)
ADMIN_COMMANDS = (
    "activate", "create", "deactivate", "demote", "invite", "promote", "quota", "reset-password", "users",
)  # fmt: skip
COMMANDS = (
    ("serve",),
    ("migrate",),
    ("doctor",),
    ("doctor", "env"),
    ("backup",),
    ("restore",),
    ("migrate-db",),
    ("migrate-store",),
    ("seed",),
    ("reset",),
    ("smoke",),
    ("settings",),
    ("jobs",),
    ("jobs", "list"),
    ("jobs", "retry"),
    ("admin",),
    *(("admin", name) for name in ADMIN_COMMANDS),
)


class TestMain:
    def test_the_version(self, chitram):
        result = chitram("--version")
        assert (result.exit_code, result.stdout.strip()) == (0, f"chitram {__version__}")

    def test_without_a_command_it_explains_itself(self, chitram):
        result = chitram()
        assert result.exit_code == 2
        for name, *_ in COMMANDS:
            assert name in result.output

    @pytest.mark.parametrize("arguments", [(), *COMMANDS])
    def test_help(self, chitram, arguments):
        result = chitram(*arguments, "--help")
        assert result.exit_code == 0
        assert "Usage" in result.output

    def test_what_does_not_exist(self, chitram):
        assert chitram("fly").exit_code == 2
        assert chitram("serve", "--sideways").exit_code == 2

    @pytest.mark.slow
    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_completion(self, tmp_path, shell):
        result = subprocess.run(
            ["chitram", "--show-completion", shell],
            env=clean_environment() | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            executable=installed(),
        )
        assert result.returncode == 0, result.stderr
        assert "chitram" in result.stdout.lower()


def installed() -> str:
    """The `chitram` that stands beside the interpreter."""
    return str(Path(sys.executable).with_name("chitram"))


class TestServe:
    def test_refuses_more_workers_than_the_database_bears(self, chitram, data):
        result = chitram("serve", "--workers", "2")
        assert result.exit_code == 2
        assert "--workers" in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
        assert not data.exists()

    @pytest.mark.parametrize("option", ["--tls-certificate", "--tls-key"])
    def test_refuses_half_a_tls_pair(self, chitram, tmp_path, option):
        (tmp_path / "half.pem").write_text("x")
        result = chitram("serve", option, str(tmp_path / "half.pem"))
        assert result.exit_code == 2
        assert "--tls-certificate and --tls-key belong together" in result.stderr

    def test_refuses_a_certificate_that_is_not_there(self, chitram):
        result = chitram("serve", "--tls-certificate", "/nowhere/cert.pem", "--tls-key", "/nowhere/key.pem")
        assert result.exit_code == 2

    def test_refuses_settings_that_cannot_be_used(self, chitram, environment, data):
        environment.setenv("MAX_FILE_SIZE_MB", "huge")
        result = chitram("serve")
        assert result.exit_code == 2
        assert result.stderr.startswith("MAX_FILE_SIZE_MB: ")
        assert len(result.stderr.strip().splitlines()) == 1
        assert not data.exists()

    @pytest.mark.parametrize("content", [b"", b"x", b"x" * 31])
    def test_refuses_a_damaged_secret(self, chitram, data, content):
        data.mkdir(parents=True)
        (data / "secret.key").write_bytes(content)
        result = chitram("serve")
        assert result.exit_code == 1
        assert "secret.key is damaged" in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1

    def test_refuses_an_unsafe_production(self, chitram, environment):
        environment.setenv("APP_ENV", "production")
        environment.setenv("JWT_SECRET_KEY", "secret")
        result = chitram("serve")
        assert result.exit_code == 2
        assert [line.partition(":")[0] for line in result.stderr.splitlines()] == ["ALLOWED_HOSTS", "JWT_SECRET_KEY"]

    def test_refuses_a_data_directory_that_is_a_file(self, chitram, data):
        data.write_text("not a directory")
        result = chitram("serve")
        assert result.exit_code == 1
        assert result.stderr.startswith("DATA_DIR: ")
        assert len(result.stderr.strip().splitlines()) == 1

    def test_refuses_a_port_that_is_none(self, chitram):
        assert chitram("serve", "--port", "65536").exit_code == 2

    def test_refuses_a_key_that_is_a_directory(self, chitram, tmp_path):
        (tmp_path / "cert.pem").write_text("x")
        result = chitram("serve", "--tls-certificate", "cert.pem", "--tls-key", str(tmp_path))
        assert result.exit_code == 2
        assert result.stderr.startswith("Usage: ")
        assert "--tls-key" in result.stderr

    def test_a_broken_certificate_ends_it_with_a_message(self, chitram, tmp_path, data):
        (tmp_path / "cert.pem").write_text("no certificate")
        result = chitram("serve", "--tls-certificate", "cert.pem", "--tls-key", "cert.pem")
        assert result.exit_code == 2
        assert result.stderr.startswith("--tls-certificate, --tls-key: cert.pem and cert.pem cannot be used: ")
        assert len(result.stderr.strip().splitlines()) == 1
        assert not data.exists()

    def test_takes_a_certificate_with_its_own_key_only(self, chitram, tmp_path, data):
        for directory in (data, tmp_path / "other"):
            directory.mkdir()
        (_, other), (chain, key) = (nginx.certificate(directory) for directory in (tmp_path / "other", tmp_path))
        result = chitram("serve", "--tls-certificate", str(chain), "--tls-key", str(other))
        assert result.exit_code == 2
        assert "mismatch" in result.stderr
        # What it stumbles over next.
        (data / "secret.key").touch()
        result = chitram("serve", "--tls-certificate", str(chain), "--tls-key", str(key))
        assert result.exit_code == 1
        assert "secret.key is damaged" in result.stderr


class TestMigrate:
    def test_up_show_down(self, chitram):
        assert chitram("migrate", "--show").stdout.strip() == "base"
        head = chitram("migrate").stdout.strip()
        assert re.fullmatch(r"\d{4}\w*", head)
        assert chitram("migrate", "--show").stdout.strip() == head
        assert chitram("migrate").stdout.strip() == head
        assert chitram("migrate", "--down", "base").exit_code == 1
        assert chitram("migrate", "--show").stdout.strip() == head
        assert chitram("migrate", "--down", "base", "--yes").stdout.strip() == "base"
        assert chitram("migrate").stdout.strip() == head

    def test_a_revision_that_does_not_exist(self, chitram):
        chitram("migrate")
        head = chitram("migrate", "--show").stdout.strip()
        result = chitram("migrate", "--down", "9999", "--yes")
        assert result.exit_code == 1
        assert result.stderr.startswith("--down: 9999 is no revision; there are base, 0001")
        assert chitram("migrate", "--down", head[:4], "--yes").stdout.strip() == head

    def test_going_down_to_nothing_says_what_stays(self, chitram):
        chitram("migrate")
        assert "The files of images stay" in chitram("migrate", "--down", "base").stdout

    def test_something_else_in_place_of_the_database(self, chitram, data):
        data.mkdir()
        (data / "chitram.db").write_bytes(b"not a database" * 100)
        for arguments in (("migrate",), ("migrate", "--show"), ("serve",), ("jobs", "list")):
            result = chitram(*arguments)
            assert result.exit_code == 1
            assert result.stderr == (
                f"DATABASE_URL: {data}/chitram.db cannot be used as the database: file is not a database."
                " Name another file, or restore this one from a backup.\n"
            )

    def test_a_directory_in_place_of_the_database(self, chitram, environment, data):
        place = data / "here"
        place.mkdir(parents=True)
        environment.setenv("DATABASE_URL", f"sqlite:///{place}")
        for arguments in (("migrate",), ("migrate", "--show"), ("migrate", "--down", "base", "--yes"), ("serve",)):
            result = chitram(*arguments)
            assert result.exit_code == 1
            assert result.stderr.startswith(f"DATABASE_URL: {place} is a directory. Name the file")
            assert len(result.stderr.strip().splitlines()) == 1
        assert not list(data.glob("*.lock"))

    def test_a_database_that_somebody_writes_to(self, chitram, data, monkeypatch):
        monkeypatch.setattr(sqlite_schema, "_BUSY_TIMEOUT", 0.01)
        chitram("migrate")
        with closing(sqlite3.connect(data / "chitram.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            result = chitram("migrate", "--down", "base", "--yes")
        assert result.exit_code == 1
        assert "database is locked. Stop the program that is writing to it." in result.stderr

    def test_down_without_a_database(self, chitram, data):
        result = chitram("migrate", "--down", "base", "--yes")
        assert result.exit_code == 1
        assert result.stderr == f"DATABASE_URL: there is no database at {data}/chitram.db\n"
        assert list(data.glob("chitram.db*")) == []


class TestDoctor:
    def test_all_is_well(self, chitram, furnish):
        furnish(lambda home: home.upload(PHOTO))
        result = chitram("doctor")
        assert result.exit_code == 0, result.output
        assert result.stdout.startswith("1 images over 1 stored files")
        assert "missing: 0" in result.stdout

    def test_something_repairs_itself(self, chitram, furnish, data):
        furnish(lambda home: home.upload(PHOTO))
        stray = data / "storage" / "blobs" / "ab" / ("ab" * 32 + ".0123456789ab")
        stray.parent.mkdir(exist_ok=True)
        stray.write_bytes(b"stray")
        os.utime(stray, (0, 0))
        result = chitram("doctor")
        assert result.exit_code == 1
        assert f"unnamed objects: 1\n  blobs/ab/{stray.name}" in result.stdout

    def test_damage(self, chitram, furnish, data):
        furnish(lambda home: home.upload(PHOTO))
        (original,) = (path for path in (data / "storage" / "blobs").rglob("*") if path.is_file())
        original.unlink()
        result = chitram("doctor", "--json")
        assert result.exit_code == 2
        found = json.loads(result.stdout)
        assert found["missing"] == {"count": 1, "examples": [original.relative_to(data / "storage").as_posix()]}
        assert (found["blobs"], found["images"], found["bytes"]) == (1, 1, len(PHOTO))

    def test_no_examination_without_a_database(self, chitram):
        result = chitram("doctor")
        assert result.exit_code == 2
        assert "chitram migrate" in result.stderr

    def test_no_examination_without_the_store(self, chitram, furnish, data):
        furnish(lambda home: home.upload(PHOTO))
        (data / "storage" / ".chitram-store").unlink()
        result = chitram("doctor", "--json")
        assert result.exit_code == 2
        assert result.stdout == ""
        assert len(result.stderr.strip().splitlines()) == 1

    def test_bad_settings(self, chitram, environment):
        environment.setenv("SCRUB_DAYS", "never")
        assert chitram("doctor").exit_code == 2


async def bury(home) -> int:
    """A job that was given up."""
    async with home.foundation.database.begin() as work:
        await work.jobs.add(NewJob(JobKind.INVALIDATE, {"image_ids": []}, run_at=home.clock.now()))
        (job,) = await work.jobs.claim(now=home.clock.now(), lease_until=home.clock.now(), limit=1)
        await work.jobs.bury(job.id, error="worn out")
    return job.id


class TestJobs:
    def test_none(self, chitram, furnish):
        chitram("migrate")
        assert chitram("jobs", "list").stdout == "0 ready, 0 running, 0 dead\n"

    def test_a_dead_one_is_listed_and_gets_another_chance(self, chitram, furnish):
        job_id = furnish(bury)
        listed = chitram("jobs", "list").stdout.splitlines()
        assert listed[0].split("\t") == [str(job_id), "invalidate", "attempts 1", "2026-01-01T00:00:00Z", "worn out"]
        assert listed[1] == "0 ready, 0 running, 1 dead"
        result = chitram("jobs", "retry", str(job_id))
        assert (result.exit_code, result.output) == (0, "")
        assert chitram("jobs", "list").stdout == "1 ready, 0 running, 0 dead\n"
        assert chitram("jobs", "list", "--state", "ready").stdout.startswith(f"{job_id}\tinvalidate\tattempts 0")

    def test_others_do_not(self, chitram, furnish):
        job_id = furnish(bury)
        result = chitram("jobs", "retry", str(job_id), "4711", str(2**63 - 1))
        assert result.exit_code == 1
        assert "4711" in result.stderr
        assert result.stderr.strip().endswith(f": 4711, {2**63 - 1}")

    def test_arguments_that_are_none(self, chitram):
        assert chitram("jobs", "retry").exit_code == 2
        for none in ("x", "0", str(2**63), "99999999999999999999"):
            assert chitram("jobs", "retry", none).exit_code == 2
        assert chitram("jobs", "list", "--limit", "0").exit_code == 2
        assert chitram("jobs", "list", "--state", "asleep").exit_code == 2

    @pytest.mark.parametrize("arguments", [("list",), ("retry", "1")])
    def test_without_a_database(self, chitram, arguments):
        result = chitram("jobs", *arguments)
        assert result.exit_code == 1
        assert "chitram migrate" in result.stderr


class TestSettings:
    def test_shows_every_one_with_its_source(self, chitram, environment, tmp_path, data):
        (tmp_path / ".env").write_text("SCRUB_DAYS=7\nMAX_FILE_SIZE_MB=9\n", encoding="utf-8")
        environment.setenv("MAX_FILE_SIZE_MB", "8")
        lines = chitram("settings").stdout.splitlines()
        assert f"DATA_DIR={data}  (environment)" in lines
        assert "MAX_FILE_SIZE_MB=8  (environment)" in lines
        assert "SCRUB_DAYS=7  (.env)" in lines
        assert "ALLOWED_CONTENT_TYPES=image/jpeg,image/png  (default)" in lines
        assert "LOCAL_STORAGE_PATH=  (default)" in lines
        assert "JWT_SECRET_KEY=  (default)" in lines

    def test_a_name_that_is_nearly_one_is_told(self, chitram, environment, tmp_path):
        (tmp_path / ".env").write_text("MAX_FILESIZE_MB=9\nPOSTGRES_PASSWORD=x\n", encoding="utf-8")
        stderr = chitram("settings").stderr
        assert stderr == "MAX_FILESIZE_MB: there is no such setting; did you mean MAX_FILE_SIZE_MB?\n"

    def test_only_what_was_changed(self, chitram, environment):
        environment.setenv("SCRUB_DAYS", "7")
        lines = [line for line in chitram("settings", "--changed").stdout.splitlines() if "=" in line]
        assert {line.partition("=")[0] for line in lines} == {"DATA_DIR", "APP_ENV", "SCRUB_DAYS"}

    def test_secrets_are_masked(self, chitram, environment):
        environment.setenv("JWT_SECRET_KEY", "hunter2 hunter2 hunter2 hunter2 hunter2")
        output = chitram("settings").output
        assert "JWT_SECRET_KEY=********  (environment)" in output
        assert "hunter2" not in output

    def test_mistakes_are_named(self, chitram, environment):
        environment.setenv("LOG_LEVEL", "loud")
        result = chitram("settings")
        assert result.exit_code == 2
        assert result.stderr.startswith("LOG_LEVEL: ")
