"""Every setting of Chitram: one tree of groups, read once from the environment and `.env`.

An unknown or impossible value is a `SettingsError` that names the variable; nothing falls back silently.
"""

from chitram.settings.groups import (
    MAX_QUOTA_FILES,
    MAX_QUOTA_MB,
    MEBIBYTE,
    AccountSettings,
    AppSettings,
    CacheSettings,
    DecodeSettings,
    HousekeepingSettings,
    LimitSettings,
    UploadSettings,
)
from chitram.settings.services import CelerySettings, DatabaseSettings, RedisSettings, StorageSettings
from chitram.settings.tree import MIN_SECRET_BYTES, Entry, Settings, SettingsError, entries, load_settings

__all__ = [
    "MAX_QUOTA_FILES",
    "MAX_QUOTA_MB",
    "MEBIBYTE",
    "MIN_SECRET_BYTES",
    "AccountSettings",
    "AppSettings",
    "CacheSettings",
    "CelerySettings",
    "DatabaseSettings",
    "DecodeSettings",
    "Entry",
    "HousekeepingSettings",
    "LimitSettings",
    "RedisSettings",
    "Settings",
    "SettingsError",
    "StorageSettings",
    "UploadSettings",
    "entries",
    "load_settings",
]
