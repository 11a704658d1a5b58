"""URL-encoded forms of our pages."""

from collections.abc import Mapping
from typing import Any

from fastapi import Request

from chitram.domain.errors import ValidationFailed
from chitram.entrypoints.support.json_bodies import read_pairs

#: Boxes that can be ticked in one form.
MOST_CHOICES = 1000


async def read_fields(request: Request) -> dict[str, str]:
    """The fields of a form, each of them once; the last one counts otherwise. InvalidRequest, FileTooLarge."""
    return dict(await read_pairs(request))


async def read_choices(request: Request, name: str) -> tuple[dict[str, str], list[str]]:
    """The fields of a form, and every value of the field `name`, each once."""
    pairs = await read_pairs(request, most=MOST_CHOICES + 20)
    chosen = list(dict.fromkeys(value for key, value in pairs if key == name))
    return dict(pairs), chosen


def errors_of(error: ValidationFailed) -> dict[str, str]:
    """What is wrong, by the field it is about."""
    problems: Any = error.details.get("errors") or []
    return {str(each["field"]): str(each["message"]) for each in problems if isinstance(each, Mapping)}
