"""Settings of a house that stands on services."""

from uuid import uuid4

from pydantic import SecretStr

from chitram.settings import Settings
from tests.services.seaweed import ACCESS_KEY, SECRET_KEY, SeaweedFS
from tests.services.valkey import Valkey

#: On a machine that has much to do besides, no promise about time is meant.
_UNHURRIED = {"pool_timeout": 10, "connect_timeout": 10, "statement_timeout": 10, "lock_timeout": 5}


def on_services(settings: Settings, *, database: str, seaweed: SeaweedFS, valkey: Valkey) -> Settings:
    """`settings` on the migrated database, a bucket of its own, and keys of Redis that nobody else has."""
    name = uuid4().hex[:12]
    changes = {
        "database": {"url": SecretStr(database), **_UNHURRIED},
        "storage": {
            "backend": "minio",
            "minio_endpoint": seaweed.endpoint,
            "minio_access_key": ACCESS_KEY,
            "minio_secret_key": SecretStr(SECRET_KEY),
            "minio_bucket": seaweed.new_bucket(),
        },
        "redis": {"url": SecretStr(valkey.url), "timeout": 5},
        "cache": {"key_prefix": f"test-{name}"},
    }
    groups = {group: getattr(settings, group).model_copy(update=values) for group, values in changes.items()}
    return settings.model_copy(update=groups)
