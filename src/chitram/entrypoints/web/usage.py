"""How much of its room an account has taken, for people."""

from typing import Any

from chitram.entrypoints.web.catalogue import Catalogue
from chitram.entrypoints.web.pictures import size_text
from chitram.services.accounts import Usage

#: From this share of the quota on, it is getting tight.
_HIGH = 0.9


def usage_of(usage: Usage, *, texts: Catalogue) -> dict[str, Any]:
    """The words, and the numbers of the bar where there is a limit. `limit` 0: there is none."""
    used, quota = usage.used, usage.quota
    files = texts("mine.files_one") if used.files == 1 else texts("mine.files_many", count=used.files)
    if quota.bytes:
        text = texts("mine.usage_of", used=size_text(used.bytes), quota=size_text(quota.bytes), files=files)
    else:
        text = texts("mine.usage", used=size_text(used.bytes), files=files)
    return {"text": text, "used": used.bytes, "limit": quota.bytes, "high": int(quota.bytes * _HIGH)}
