"""URL-encoded forms of our pages."""

import math
from collections.abc import Mapping
from typing import Any

from fastapi import Request

from chitram.domain.access import Viewer
from chitram.domain.errors import ChitramError, ValidationFailed
from chitram.entrypoints.support.errors import retry_after_of
from chitram.entrypoints.support.json_bodies import read_pairs
from chitram.entrypoints.support.wiring import wired
from chitram.entrypoints.web.catalogue import Catalogue
from chitram.entrypoints.web.pictures import accepted
from chitram.entrypoints.web.visitors import pages, require_member, require_own_form, sender_of

#: Boxes that can be ticked in one form.
MOST_CHOICES = 1000
#: From so many seconds on people count in minutes.
_MINUTES = 120


async def read_fields(request: Request) -> dict[str, str]:
    """The fields of a form, each of them once; the last one counts otherwise. InvalidRequest, FileTooLarge.

    Whoever reads them so has to see to it that the form is one of ours.
    """
    return dict(await read_pairs(request))


async def own_fields(request: Request, viewer: Viewer) -> dict[str, str]:
    """The fields of a form that `viewer`, found by `sender_of`, sent from a page of ours. CsrfRefused."""
    fields = await read_fields(request)
    require_own_form(request, viewer, fields)
    return fields


async def sent_form(request: Request) -> tuple[Viewer, dict[str, str]]:
    """Who sent a form of one of our pages, and its fields. LoginNeeded for a session that ended, CsrfRefused."""
    viewer = await sender_of(request)
    return viewer, await own_fields(request, viewer)


async def member_form(request: Request) -> tuple[Viewer, dict[str, str]]:
    """The same for pages of members; LoginNeeded for strangers too."""
    viewer, fields = await sent_form(request)
    require_member(request, viewer)
    return viewer, fields


async def member_choices(request: Request, name: str) -> tuple[Viewer, dict[str, str], list[str]]:
    """The same where several boxes may be ticked: beside the fields, every value of the field `name`, each once."""
    viewer = await sender_of(request)
    pairs = await read_pairs(request, most=MOST_CHOICES + 20)
    fields = dict(pairs)
    require_own_form(request, viewer, fields)
    require_member(request, viewer)
    return viewer, fields, list(dict.fromkeys(value for key, value in pairs if key == name))


def errors_of(error: ValidationFailed, *, texts: Catalogue) -> dict[str, str]:
    """What is wrong, in words for people, by the field it is about."""
    problems: Any = error.details.get("errors") or []
    words = texts.problem(error.problem, **error.values) or texts("problems.other")
    return {str(each["field"]): words for each in problems if isinstance(each, Mapping)}


def message_of(request: Request, error: ChitramError) -> str:
    """What people are told of an error above a form: what is wrong, and when to try again if waiting helps."""
    return " ".join(sentences_of(request, error).values())


def sentences_of(request: Request, error: ChitramError) -> dict[str, str]:
    """The same one by one: `message` is about what exactly is wrong, or else about its code; `wait` is left out where
    waiting changes nothing.
    """
    texts, bounds = pages(request).texts, accepted(wired(request).settings.uploads)
    words = texts.problem(error.problem, **bounds, **error.values)
    found = {"message": words or texts.error(error.code, otherwise=error.message, **bounds)}
    seconds = retry_after_of(error)
    return found if seconds is None else found | {"wait": _waiting(seconds, texts=texts)}


def _waiting(seconds: int, *, texts: Catalogue) -> str:
    if seconds == 1:
        return texts("errors.wait_moment")
    if seconds < _MINUTES:
        return texts("errors.wait", seconds=seconds)
    return texts("errors.wait_minutes", minutes=math.ceil(seconds / 60))


def retry_fields(error: ChitramError | None) -> dict[str, str]:
    """The header field that says when to send a form again, if waiting helps."""
    seconds = None if error is None else retry_after_of(error)
    return {} if seconds is None else {"Retry-After": str(seconds)}
