"""Settings: defaults as documented, bad values named, production strict, secrets never shown."""

import json
from pathlib import Path

import pytest

from chitram.settings import Settings, SettingsError, entries, load_settings

SECRET = "correct horse battery staple, and 9 more"

DEFAULTS: dict[str, object] = {
    "APP_ENV": "development",
    "DEBUG": False,
    "DATA_DIR": Path("data"),
    "PUBLIC_URL": "",
    "ALLOWED_HOSTS": (),
    "TRUSTED_PROXIES": (),
    "JWT_SECRET_KEY": None,
    "METRICS_BIND": "",
    "HEADER_TIMEOUT_SECONDS": 15,
    "MAX_CONNECTIONS_PER_ADDRESS": 512,
    "LOG_LEVEL": "info",
    "LOG_FORMAT": "auto",
    "DATABASE_URL": "",
    "STORAGE_BACKEND": "local",
    "LOCAL_STORAGE_PATH": None,
    "STORAGE_RESERVE_MB": 64,
    "ANONYMOUS_UPLOADS": True,
    "MAX_FILE_SIZE_MB": 5,
    "ALLOWED_CONTENT_TYPES": ("image/jpeg", "image/png"),
    "STRIP_METADATA": True,
    "DEFAULT_VISIBILITY": "unlisted",
    "THUMBNAIL_MODE": "inline",
    "MAX_PIXELS": 100_000_000,
    "MAX_FRAMES": 500,
    "MAX_TOTAL_PIXELS": 500_000_000,
    "UPLOAD_CONCURRENCY_LIMIT": 10,
    "UPLOAD_CONCURRENCY_PER_ADDRESS": 3,
    "UPLOAD_CONCURRENCY_TIMEOUT": 30,
    "UPLOAD_DEADLINE_SECONDS": 300,
    "UPLOAD_MIN_RATE": 4096,
    "DECODE_WORKERS": 0,
    "DECODE_MEMORY_MB": 1024,
    "DECODE_CPU_SECONDS": 15,
    "DECODE_TIMEOUT_SECONDS": 30,
    "DECODE_RECYCLE_AFTER": 200,
    "CACHE_ENABLED": True,
    "CACHE_TTL_SECONDS": 3600,
    "CACHE_MAX_ENTRIES": 20_000,
    "THUMBNAIL_CACHE_MB": 64,
    "RATE_LIMIT_ENABLED": True,
    "RATE_LIMIT_PER_MINUTE": 10,
    "RATE_LIMIT_SIMILAR_PER_MINUTE": 60,
    "RATE_LIMIT_WINDOW_SECONDS": 60,
    "COLLECT_GRACE_SECONDS": 86_400,
    "SWEEP_INTERVAL_SECONDS": 60,
    "SCRUB_DAYS": 30,
    "JOB_RUNNERS": 2,
}

IMPOSSIBLE = {
    "APP_ENV": "prod",
    "DEBUG": "perhaps",
    "PUBLIC_URL": "img.example.org",
    "TRUSTED_PROXIES": "10.0.0.0/8,everybody",
    "METRICS_BIND": "9100",
    "HEADER_TIMEOUT_SECONDS": "0",
    "MAX_CONNECTIONS_PER_ADDRESS": "0",
    "LOG_LEVEL": "loud",
    "LOG_FORMAT": "xml",
    "DATABASE_URL": "mysql://localhost/chitram",
    "STORAGE_BACKEND": "minio",
    "STORAGE_RESERVE_MB": "-1",
    "ANONYMOUS_UPLOADS": "sometimes",
    "MAX_FILE_SIZE_MB": "0",
    "ALLOWED_CONTENT_TYPES": "image/jpeg,image/svg+xml",
    "STRIP_METADATA": "2",
    "DEFAULT_VISIBILITY": "private",
    "THUMBNAIL_MODE": "later",
    "MAX_PIXELS": "many",
    "MAX_FRAMES": "0",
    "MAX_TOTAL_PIXELS": "0",
    "UPLOAD_CONCURRENCY_LIMIT": "0",
    "UPLOAD_CONCURRENCY_PER_ADDRESS": "0",
    "UPLOAD_CONCURRENCY_TIMEOUT": "-1",
    "UPLOAD_DEADLINE_SECONDS": "0",
    "UPLOAD_MIN_RATE": "-1",
    "DECODE_WORKERS": "-1",
    "DECODE_MEMORY_MB": "64",
    "DECODE_CPU_SECONDS": "0",
    "DECODE_TIMEOUT_SECONDS": "-5",
    "DECODE_RECYCLE_AFTER": "0",
    "CACHE_ENABLED": "",
    "CACHE_TTL_SECONDS": "0",
    "CACHE_MAX_ENTRIES": "0",
    "THUMBNAIL_CACHE_MB": "-1",
    "RATE_LIMIT_ENABLED": "nope!",
    "RATE_LIMIT_PER_MINUTE": "0",
    "RATE_LIMIT_SIMILAR_PER_MINUTE": "0",
    "RATE_LIMIT_WINDOW_SECONDS": "1.5",
    "COLLECT_GRACE_SECONDS": "-1",
    "SWEEP_INTERVAL_SECONDS": "0",
    "SCRUB_DAYS": "0",
    "JOB_RUNNERS": "0",
}
#: Any text is a name or a path; an empty variable counts as none.
FREE = {"DATA_DIR", "ALLOWED_HOSTS", "JWT_SECRET_KEY", "LOCAL_STORAGE_PATH", "CACHE_ENABLED"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A directory without `.env` and an environment without any of our variables."""
    monkeypatch.chdir(tmp_path)
    for name in DEFAULTS:
        monkeypatch.delenv(name, raising=False)


def test_defaults_are_as_documented():
    assert {entry.variable: entry.value for entry in entries(load_settings())} == DEFAULTS
    assert {entry.variable: entry.default for entry in entries(load_settings())} == DEFAULTS


def test_every_setting_has_a_sentence():
    for entry in entries(load_settings()):
        assert entry.help.endswith(".")
        assert entry.group


def test_everything_lies_in_one_directory_unless_told_otherwise(monkeypatch):
    settings = load_settings()
    assert (settings.database_url, settings.storage_path) == ("sqlite:///data/chitram.db", Path("data/storage"))
    monkeypatch.setenv("DATABASE_URL", "sqlite:////srv/chitram.db")
    monkeypatch.setenv("LOCAL_STORAGE_PATH", "/srv/pictures")
    settings = load_settings()
    assert (settings.database_url, settings.storage_path) == ("sqlite:////srv/chitram.db", Path("/srv/pictures"))
    assert settings.uploads.max_file_size == 5 * 1024 * 1024


@pytest.mark.parametrize("variable", sorted(set(IMPOSSIBLE) - FREE))
def test_an_impossible_value_names_its_variable(monkeypatch, variable):
    monkeypatch.setenv(variable, IMPOSSIBLE[variable])
    with pytest.raises(SettingsError) as caught:
        load_settings()
    lines = str(caught.value).splitlines()
    assert [line for line in lines if line.startswith(f"{variable}: ")]


def test_every_variable_is_tried_with_an_impossible_value():
    assert set(IMPOSSIBLE) | FREE == set(DEFAULTS)


def test_all_problems_are_told_at_once(monkeypatch):
    monkeypatch.setenv("MAX_FILE_SIZE_MB", "huge")
    monkeypatch.setenv("THUMBNAIL_MODE", "later")
    monkeypatch.setenv("CACHE_TTL_SECONDS", "x")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    names = [line.partition(":")[0] for line in str(caught.value).splitlines()]
    assert names == ["MAX_FILE_SIZE_MB", "THUMBNAIL_MODE", "CACHE_TTL_SECONDS"]


def test_lists_are_comma_separated(monkeypatch):
    monkeypatch.setenv("ALLOWED_CONTENT_TYPES", "image/webp, image/gif,")
    monkeypatch.setenv("TRUSTED_PROXIES", "10.0.0.0/8,::1")
    monkeypatch.setenv("ALLOWED_HOSTS", "img.example.org,*.example.org")
    settings = load_settings()
    assert settings.uploads.allowed_content_types == ("image/webp", "image/gif")
    assert settings.app.trusted_proxies == ("10.0.0.0/8", "::1")
    assert settings.app.allowed_hosts == ("img.example.org", "*.example.org")


def test_a_list_of_nothing_is_no_list_of_formats(monkeypatch):
    monkeypatch.setenv("ALLOWED_CONTENT_TYPES", " , ")
    with pytest.raises(SettingsError, match="ALLOWED_CONTENT_TYPES"):
        load_settings()


def test_good_values_of_checked_forms(monkeypatch):
    monkeypatch.setenv("PUBLIC_URL", "https://img.example.org/")
    monkeypatch.setenv("METRICS_BIND", "[::1]:9100")
    settings = load_settings()
    assert (settings.app.public_url, settings.app.metrics_bind) == ("https://img.example.org", "[::1]:9100")


def test_an_empty_variable_is_as_good_as_none(monkeypatch):
    monkeypatch.setenv("MAX_FILE_SIZE_MB", "")
    monkeypatch.setenv("JWT_SECRET_KEY", "")
    assert load_settings().uploads.max_file_size_mb == 5
    assert load_settings().app.secret_key is None


class TestEnvFile:
    def test_is_read_and_the_environment_wins(self, monkeypatch):
        Path(".env").write_text("MAX_FILE_SIZE_MB=7\nSCRUB_DAYS=3\nSOMETHING_ELSE=x\n", encoding="utf-8")
        monkeypatch.setenv("SCRUB_DAYS", "9")
        settings = load_settings()
        assert (settings.uploads.max_file_size_mb, settings.housekeeping.scrub_days) == (7, 9)

    def test_its_mistakes_are_named_too(self):
        Path(".env").write_text("MAX_FILE_SIZE_MB=many\n", encoding="utf-8")
        with pytest.raises(SettingsError, match="MAX_FILE_SIZE_MB: "):
            load_settings()

    def test_can_be_left_out(self):
        Path(".env").write_text("MAX_FILE_SIZE_MB=7\n", encoding="utf-8")
        assert load_settings(env_file=None).uploads.max_file_size_mb == 5


class TestProduction:
    @pytest.fixture(autouse=True)
    def production(self, monkeypatch):
        monkeypatch.setenv("APP_ENV", "production")
        monkeypatch.setenv("ALLOWED_HOSTS", "img.example.org")

    def test_starts_with_hosts_and_a_made_secret(self):
        assert load_settings().app.env == "production"

    def test_starts_with_a_good_secret(self, monkeypatch):
        monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
        assert load_settings().app.secret_key.get_secret_value() == SECRET

    @pytest.mark.parametrize(
        ("variable", "value"),
        [
            ("ALLOWED_HOSTS", ""),
            ("DEBUG", "true"),
            ("JWT_SECRET_KEY", "short"),
            ("JWT_SECRET_KEY", "Your-Secret-Key"),
            ("JWT_SECRET_KEY", "x" * 31),
        ],
    )
    def test_refuses_what_is_not_safe(self, monkeypatch, variable, value):
        monkeypatch.setenv(variable, value)
        with pytest.raises(SettingsError, match=f"^{variable}: ") as caught:
            load_settings()
        assert value not in str(caught.value) or value in ("", "true")

    def test_what_production_refuses_is_fine_elsewhere(self, monkeypatch):
        monkeypatch.setenv("APP_ENV", "development")
        monkeypatch.setenv("JWT_SECRET_KEY", "short")
        monkeypatch.setenv("DEBUG", "true")
        assert load_settings().app.debug


def test_settings_that_contradict_each_other(monkeypatch):
    monkeypatch.setenv("DECODE_TIMEOUT_SECONDS", "3")
    with pytest.raises(SettingsError, match=r"DECODE_TIMEOUT_SECONDS.*DECODE_CPU_SECONDS"):
        load_settings()


def test_secrets_are_in_no_representation(monkeypatch):
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    settings = load_settings()
    for text in (repr(settings), str(settings), settings.model_dump_json(), json.dumps(str(entries(settings)))):
        assert SECRET not in text
    assert [entry.variable for entry in entries(settings) if entry.secret] == ["JWT_SECRET_KEY"]


def test_a_secret_that_cannot_be_used_is_not_printed(monkeypatch):
    monkeypatch.setenv("APP_ENV", "production")
    monkeypatch.setenv("ALLOWED_HOSTS", "x")
    monkeypatch.setenv("JWT_SECRET_KEY", "hunter2")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


def test_settings_cannot_be_changed():
    settings = Settings()
    for target, name in ((settings, "app"), (settings.app, "env")):
        with pytest.raises(ValueError, match="frozen"):
            setattr(target, name, "x")
