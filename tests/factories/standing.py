"""Settings of a house that stands on services."""

from uuid import uuid4

from pydantic import SecretStr

from chitram.settings import Settings
from tests.factories.databases import PostgresDatabases
from tests.factories.objects import S3Objects
from tests.services.seaweed import ACCESS_KEY, SECRET_KEY, SeaweedFS
from tests.services.valkey import Valkey

#: On a machine that has much to do besides, no promise about time is meant.
_UNHURRIED = {"pool_timeout": 10, "connect_timeout": 10, "statement_timeout": 10, "lock_timeout": 5}


class Standing:
    """Room on services, handed out and taken back: a database with the bucket that belongs to it.

    Making a bucket takes several times what most tests do, so that the next test gets the one that is there, emptied.
    """

    def __init__(self, *, databases: PostgresDatabases, seaweed: SeaweedFS, valkey: Valkey) -> None:
        self._databases = databases
        self._seaweed = seaweed
        self._valkey = valkey
        self._used: list[str] = []

    def furnish(self, settings: Settings) -> Settings:
        """`settings` on an empty database, an empty bucket, and keys of Redis that nobody else has."""
        database = self._databases.new()
        bucket = _buckets.setdefault(database, self._seaweed.new_bucket())
        self._used.append(bucket)
        return on_services(settings, database=database, bucket=bucket, seaweed=self._seaweed, valkey=self._valkey)

    def give_back(self) -> None:
        """When the test is over."""
        for bucket in self._used:
            objects = S3Objects(self._seaweed.bucket(bucket))
            for key in objects.names():
                objects.erase(key)
        self._databases.give_back()


#: Database → its bucket. A database that is emptied keeps its identity, by which the bucket knows it.
_buckets: dict[str, str] = {}


def on_services(settings: Settings, *, database: str, bucket: str, seaweed: SeaweedFS, valkey: Valkey) -> Settings:
    """`settings` on a migrated database, its bucket, and keys of Redis that nobody else has."""
    name = uuid4().hex[:12]
    changes = {
        "database": {"url": SecretStr(database), **_UNHURRIED},
        "storage": {
            "backend": "minio",
            "minio_endpoint": seaweed.endpoint,
            "minio_access_key": ACCESS_KEY,
            "minio_secret_key": SecretStr(SECRET_KEY),
            "minio_bucket": bucket,
        },
        "redis": {"url": SecretStr(valkey.url), "timeout": 5},
        "cache": {"key_prefix": f"test-{name}"},
    }
    groups = {group: getattr(settings, group).model_copy(update=values) for group, values in changes.items()}
    return settings.model_copy(update=groups)
