"""Every setting of Chitram: one tree of groups, read once from the environment and `.env`.

An unknown or impossible value is a `SettingsError` that names the variable; nothing falls back silently.
"""

from chitram.settings.groups import (
    MEBIBYTE,
    AppSettings,
    CacheSettings,
    DatabaseSettings,
    DecodeSettings,
    HousekeepingSettings,
    LimitSettings,
    StorageSettings,
    UploadSettings,
)
from chitram.settings.tree import Entry, Settings, SettingsError, entries, load_settings, unsupported

__all__ = [
    "MEBIBYTE",
    "AppSettings",
    "CacheSettings",
    "DatabaseSettings",
    "DecodeSettings",
    "Entry",
    "HousekeepingSettings",
    "LimitSettings",
    "Settings",
    "SettingsError",
    "StorageSettings",
    "UploadSettings",
    "entries",
    "load_settings",
    "unsupported",
]
