"""URL-encoded forms of our pages."""

from collections.abc import Mapping
from typing import Any

from fastapi import Request

from chitram.domain.errors import ChitramError, ValidationFailed
from chitram.entrypoints.support.json_bodies import read_pairs
from chitram.entrypoints.web.catalogue import Catalogue

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


def errors_of(error: ValidationFailed, *, texts: Catalogue) -> dict[str, str]:
    """What is wrong, in words for people, by the field it is about."""
    problems: Any = error.details.get("errors") or []
    words = texts.problem(error.problem, **error.values) or texts("problems.other")
    return {str(each["field"]): words for each in problems if isinstance(each, Mapping)}


def message_of(error: ChitramError, *, texts: Catalogue, **values: object) -> str:
    """What people are told of an error: of what exactly is wrong, or else of its code. `values`: what the words may
    speak of beside the error's own.
    """
    words = texts.problem(error.problem, **values, **error.values)
    return words or texts.error(error.code, otherwise=error.message, **values)
