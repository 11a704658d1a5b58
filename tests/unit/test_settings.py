"""Settings: defaults as documented, bad values named, production strict, secrets never shown."""

import json
from pathlib import Path

import pytest

from chitram.entrypoints.support.hosts import AllowedHosts
from chitram.settings import Settings, SettingsError, entries, load_settings
from tests.unit.settings_tables import DEFAULTS, FREE, IMPOSSIBLE

SECRET = "correct horse battery staple and 9 more"
GOOD_SECRET = "0f8a5b1c9d2e4f7a6b3c8d1e5f9a2b4c"


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


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("REGISTRATION", "Open"),
        ("JWT_ALGORITHM", "RS256"),
        ("JWT_ALGORITHM", "HS512"),
        ("JWT_EXPIRE_MINUTES", "525601"),
        ("SESSION_EXPIRE_DAYS", "3651"),
        ("BCRYPT_ROUNDS", "19"),
        ("BCRYPT_ROUNDS", "12.5"),
        ("CORS_ORIGINS", "https://app.example.org/"),
        ("CORS_ORIGINS", "https://app.example.org/path"),
        ("CORS_ORIGINS", "https://app.example.org?x"),
        ("CORS_ORIGINS", "https://"),
        ("CORS_ORIGINS", "https://:443"),
        ("CORS_ORIGINS", "https://me@app.example.org"),
        ("CORS_ORIGINS", "https://app.example.org:0x50"),
        ("CORS_ORIGINS", "https://app.example.org:99999"),
        ("CORS_ORIGINS", "https://[::1"),
        ("CORS_ORIGINS", "ftp://app.example.org"),
        ("CORS_ORIGINS", "null"),
        ("CORS_ORIGINS", "https://*.example.org/*"),
        ("RATE_LIMIT_ALLOWED", "*"),
        ("RATE_LIMIT_ALLOWED", "10.0.0.0/33"),
    ],
)
def test_what_looks_almost_right_is_refused_too(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=f"^{variable}: "):
        load_settings()


def test_origins_are_written_as_browsers_send_them(monkeypatch):
    asked = "https://App.Example.org:443, HTTP://localhost:8080,http://b.example:80,https://c.example:80,https://[::1]:443,*"
    monkeypatch.setenv("CORS_ORIGINS", asked)
    assert load_settings().app.cors_origins == (
        "https://app.example.org",
        "http://localhost:8080",
        "http://b.example",
        "https://c.example:80",
        "https://[::1]",
        "*",
    )


def test_settings_of_accounts(monkeypatch):
    values = {
        "REGISTRATION": "invite",
        "BCRYPT_ROUNDS": "13",
        "PASSWORD_BLOCKLIST": "/etc/chitram/passwords.txt",
        "DEFAULT_QUOTA_MB": "500",
        "RATE_LIMIT_ALLOWED": "192.0.2.7, 2001:db8::/32",
    }
    for variable, value in values.items():
        monkeypatch.setenv(variable, value)
    settings = load_settings()
    assert (settings.accounts.registration, settings.accounts.bcrypt_rounds) == ("invite", 13)
    assert settings.accounts.password_blocklist == Path("/etc/chitram/passwords.txt")
    assert settings.accounts.quota_mb == 500
    assert settings.limits.allowed == ("192.0.2.7", "2001:db8::/32")


def test_older_secrets_are_comma_separated(monkeypatch):
    assert load_settings().app.previous_secrets == ()
    monkeypatch.setenv("JWT_PREVIOUS_SECRET_KEYS", " first,second , ,")
    assert [secret.get_secret_value() for secret in load_settings().app.previous_secrets] == ["first", "second"]


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


@pytest.mark.parametrize("name", ["img.example.org", "*", "*.example.org", "192.0.2.7", "[::1]", "nas", "my_nas.local"])
def test_host_names(monkeypatch, name):
    monkeypatch.setenv("ALLOWED_HOSTS", name)
    AllowedHosts(load_settings().app.allowed_hosts).check(name.replace("*", "a"))


@pytest.mark.parametrize("name", ["http://a.org", "a.org:8000", "a.org/", "*a.org", "a.*", "a b", ".a.org", "a..org"])
def test_what_no_host_is_called(monkeypatch, name):
    monkeypatch.setenv("ALLOWED_HOSTS", name)
    with pytest.raises(SettingsError, match=r"^ALLOWED_HOSTS: "):
        load_settings()


def test_a_file_of_settings_that_cannot_be_read(tmp_path, monkeypatch):
    path = tmp_path / ".env"
    path.touch()

    def refuse(*_args, **_keywords):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pydantic_settings.sources.providers.dotenv.dotenv_values", refuse)
    with pytest.raises(SettingsError, match=r"\.env cannot be read \(Permission denied\); run this as the user"):
        load_settings(env_file=path)


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
        monkeypatch.setenv("JWT_PREVIOUS_SECRET_KEYS", f"{GOOD_SECRET},{GOOD_SECRET[::-1]}")
        monkeypatch.setenv("BCRYPT_ROUNDS", "10")
        assert load_settings().app.secret_key.get_secret_value() == SECRET
        assert len(load_settings().app.previous_secrets) == 2

    @pytest.mark.parametrize(
        ("variable", "value"),
        [
            ("ALLOWED_HOSTS", ""),
            ("DEBUG", "true"),
            ("JWT_SECRET_KEY", "short"),
            ("JWT_SECRET_KEY", "Your-Secret-Key"),
            ("JWT_SECRET_KEY", "x" * 31),
            ("JWT_SECRET_KEY", "x" * 64),
            ("JWT_SECRET_KEY", "0123456" * 9),
            ("JWT_SECRET_KEY", "your-secret-key-change-in-production"),
            ("JWT_SECRET_KEY", "CHANGE_ME CHANGE_ME CHANGE_ME 123456"),
            ("JWT_SECRET_KEY", "please, change this to something else!"),
            ("JWT_SECRET_KEY", f"{GOOD_SECRET},{GOOD_SECRET}"),
            ("JWT_PREVIOUS_SECRET_KEYS", "short"),
            ("JWT_PREVIOUS_SECRET_KEYS", f"{GOOD_SECRET},hunter2"),
            ("JWT_PREVIOUS_SECRET_KEYS", f"{SECRET}, and 9 more"),
            ("BCRYPT_ROUNDS", "9"),
            ("REGISTRATION", "anybody"),
            ("CORS_ORIGINS", "my-page.example.org"),
        ],
    )
    def test_refuses_what_is_not_safe(self, monkeypatch, variable, value):
        monkeypatch.setenv(variable, value)
        with pytest.raises(SettingsError, match=f"^{variable}: ") as caught:
            load_settings()
        assert value not in str(caught.value) or value in ("", "true", "9")
        assert "hunter2" not in str(caught.value)

    def test_what_production_refuses_is_fine_elsewhere(self, monkeypatch):
        monkeypatch.setenv("APP_ENV", "development")
        monkeypatch.setenv("JWT_SECRET_KEY", "short")
        monkeypatch.setenv("JWT_PREVIOUS_SECRET_KEYS", "shorter")
        monkeypatch.setenv("BCRYPT_ROUNDS", "4")
        monkeypatch.setenv("DEBUG", "true")
        assert load_settings().app.debug


def test_settings_that_contradict_each_other(monkeypatch):
    monkeypatch.setenv("DECODE_TIMEOUT_SECONDS", "3")
    with pytest.raises(SettingsError, match=r"DECODE_TIMEOUT_SECONDS.*DECODE_CPU_SECONDS"):
        load_settings()


def test_an_s3_store_needs_its_address_and_keys(monkeypatch):
    monkeypatch.setenv("STORAGE_BACKEND", "minio")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    named = [line.partition(":")[0] for line in str(caught.value).splitlines()]
    assert named == ["MINIO_ENDPOINT", "MINIO_ACCESS_KEY", "MINIO_SECRET_KEY"]
    for name, value in zip(named, ("127.0.0.1:9000", "us", "minioadmin"), strict=True):
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.staging_path == Path("data/staging")
    monkeypatch.setenv("X_ACCEL_PREFIX", "/_blobs/")
    with pytest.raises(SettingsError, match=r"^X_ACCEL_PREFIX: "):
        load_settings()


def test_production_refuses_a_secret_that_everybody_knows(monkeypatch):
    values = {"STORAGE_BACKEND": "minio", "MINIO_ENDPOINT": "s3:9000", "MINIO_ACCESS_KEY": "minioadmin"}
    for name, value in (values | {"APP_ENV": "production", "ALLOWED_HOSTS": "x"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MINIO_SECRET_KEY", "minioadmin")
    with pytest.raises(SettingsError, match=r"^MINIO_SECRET_KEY: "):
        load_settings()
    monkeypatch.setenv("MINIO_SECRET_KEY", GOOD_SECRET)
    assert load_settings().storage.backend == "minio"
    # Where it opens nothing it may be anything.
    monkeypatch.setenv("MINIO_SECRET_KEY", "minioadmin")
    monkeypatch.setenv("STORAGE_BACKEND", "local")
    assert load_settings().storage.backend == "local"


@pytest.mark.parametrize(
    ("variable", "known", "good"),
    [
        ("DATABASE_URL", "postgresql://chitram:Postgres@db/chitram", f"postgresql://chitram:{GOOD_SECRET}@db/chitram"),
        ("DATABASE_URL", "postgresql://chitram:%70assword@db/chitram", "postgresql://chitram@db/chitram"),
        ("REDIS_URL", "redis://:redis@cache/0", "redis://cache/0"),
        ("REDIS_PASSWORD", "ChangeMe", GOOD_SECRET),
        ("CELERY_BROKER_URL", "redis://:secret@cache/1", f"redis://:{GOOD_SECRET}@cache/1"),
    ],
)
def test_production_refuses_passwords_of_services_that_everybody_knows(monkeypatch, variable, known, good):
    monkeypatch.setenv("ALLOWED_HOSTS", "x")
    monkeypatch.setenv(variable, known)
    load_settings()
    monkeypatch.setenv("APP_ENV", "production")
    with pytest.raises(SettingsError, match=rf"^{variable}: .* known to everybody") as caught:
        load_settings()
    assert known not in str(caught.value)
    monkeypatch.setenv(variable, good)
    load_settings()


def test_thumbnails_wait_for_a_worker_where_there_is_one(monkeypatch):
    assert load_settings().render_inline
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://127.0.0.1:6379/1")
    assert not load_settings().render_inline
    monkeypatch.setenv("THUMBNAIL_MODE", "inline")
    assert load_settings().render_inline


@pytest.mark.parametrize("url", ["postgresql://a:b@db/c", "postgres://db/c", "postgresql+asyncpg://db/c"])
def test_urls_of_postgresql(monkeypatch, url):
    assert not load_settings().on_postgresql
    monkeypatch.setenv("DATABASE_URL", url)
    settings = load_settings()
    assert (settings.on_postgresql, settings.database_url) == (True, url)


def test_redis_part_by_part(monkeypatch):
    assert load_settings().redis.address is None
    monkeypatch.setenv("REDIS_HOST", "cache")
    assert load_settings().redis.address == "redis://cache:6379/0"
    monkeypatch.setenv("REDIS_PASSWORD", "p@ss/word")
    monkeypatch.setenv("REDIS_DB", "3")
    assert load_settings().redis.address == "redis://:p%40ss%2Fword@cache:6379/3"
    monkeypatch.setenv("REDIS_URL", "rediss://other:7000/1")
    assert load_settings().redis.address == "rediss://other:7000/1"


def test_secrets_are_in_no_representation(monkeypatch):
    monkeypatch.setenv("JWT_SECRET_KEY", SECRET)
    monkeypatch.setenv("JWT_PREVIOUS_SECRET_KEYS", GOOD_SECRET)
    settings = load_settings()
    texts = [repr(settings), str(settings), settings.model_dump_json(), json.dumps(str(entries(settings)))]
    for text in (*texts, repr(settings.app.previous_secrets)):
        assert SECRET not in text
        assert GOOD_SECRET not in text
    secret = [entry.variable for entry in entries(settings) if entry.secret]
    assert set(secret) == {
        "JWT_SECRET_KEY",
        "JWT_PREVIOUS_SECRET_KEYS",
        "DATABASE_URL",
        "MINIO_SECRET_KEY",
        "REDIS_URL",
        "REDIS_PASSWORD",
        "CELERY_BROKER_URL",
    }


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
