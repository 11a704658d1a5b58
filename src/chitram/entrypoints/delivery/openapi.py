"""The door's part of the API's description, which the framework cannot derive because it does not serve these paths."""

from typing import Any

from chitram.domain.images import ID_LENGTH
from chitram.domain.media import DEFAULT_THUMBNAIL_SIZE, FORMATS, THUMBNAIL_SIZES
from chitram.entrypoints.delivery.routes import TEMPLATES
from chitram.entrypoints.support.security_schemes import ANYBODY

Item = dict[str, Any]

_IMAGE_ID: Item = {
    "name": "image_id",
    "in": "path",
    "required": True,
    "description": "The image's id.",
    "schema": {"type": "string", "pattern": f"^[0-9A-Za-z]{{{ID_LENGTH}}}$"},
}
_VERSION: Item = {
    "name": "v",
    "in": "query",
    "required": False,
    "description": "The content version, the first 8 digits of the SHA-256: caches may then keep the answer for good.",
    "schema": {"type": "string"},
}
_DOWNLOAD: Item = {
    "name": "download",
    "in": "query",
    "required": False,
    "description": "`1` has browsers save the file instead of showing it; anything else is ignored.",
    "schema": {"type": "string", "examples": ["1"]},
}
_SIZE: Item = {
    "name": "size",
    "in": "query",
    "required": False,
    "description": "Longest side in pixels.",
    "schema": {"type": "integer", "enum": sorted(THUMBNAIL_SIZES), "default": DEFAULT_THUMBNAIL_SIZE},
}
_PRECONDITION = "PRECONDITION_FAILED: it is not what If-Match or If-Unmodified-Since asks for."
_TWICE = "VALIDATION_ERROR: a parameter is there twice."
_CONDITIONS = ("Range", "If-Range", "If-None-Match", "If-Modified-Since")


def door_paths() -> dict[str, Item]:
    """Path items by path template. They refer to the schemas `ImageMetadata` and `ErrorResponse` of the document."""
    return {
        TEMPLATES["metadata"]: _operations(
            "image_metadata",
            summary="Metadata of an image",
            parameters=[_IMAGE_ID, _header("If-None-Match")],
            success={"200": _metadata_answer(), "304": _unchanged()},
            errors={"401": "Bad credentials.", "404": "IMAGE_NOT_FOUND.", "412": _PRECONDITION, "422": _TWICE},
        ),
        TEMPLATES["file"]: _operations(
            "image_file",
            summary="The original, byte for byte as stored",
            parameters=[_IMAGE_ID, _VERSION, _DOWNLOAD, *map(_header, _CONDITIONS)],
            success={"200": _picture("The file."), "206": _parts(), "304": _unchanged()},
            errors={
                "401": "Bad credentials.",
                "404": "IMAGE_NOT_FOUND.",
                "412": _PRECONDITION,
                "416": "RANGE_NOT_SATISFIABLE: `Content-Range` tells the size.",
                "422": _TWICE,
            },
        ),
        TEMPLATES["thumbnail"]: _operations(
            "image_thumbnail",
            summary="A small version of the image",
            parameters=[_IMAGE_ID, _SIZE, _VERSION, _DOWNLOAD, _header("If-None-Match")],
            success={"200": _picture("The thumbnail."), "304": _unchanged()},
            errors={
                "401": "Bad credentials.",
                "404": "IMAGE_NOT_FOUND, or THUMBNAIL_NOT_READY with `Retry-After`.",
                "412": _PRECONDITION,
                "422": "VALIDATION_ERROR: no such size.",
            },
        ),
    }


def _operations(name: str, *, summary: str, parameters: list[Item], success: Item, errors: dict[str, str]) -> Item:
    """GET, and HEAD with the same answers without a body."""
    failures = {**errors, "503": "The database or the image store cannot be reached; `Retry-After`."}
    get = {
        "tags": ["images"],
        "operationId": name,
        "summary": summary,
        "parameters": parameters,
        **ANYBODY,
        "responses": {**success, **{status: _error(text) for status, text in failures.items()}},
    }
    head = {
        **get,
        "operationId": f"{name}_head",
        "summary": f"{summary}: header fields only",
        "responses": {
            status: {"description": answer["description"]}
            for status, answer in get["responses"].items()
            if status not in ("206", "416")
        },
    }
    return {"get": get, "head": head}


def _header(name: str) -> Item:
    return {"name": name, "in": "header", "required": False, "schema": {"type": "string"}}


def _metadata_answer() -> Item:
    return {
        "description": "What anybody who has the link may know of the image.",
        "headers": {"X-Cache": {"schema": {"type": "string", "enum": ["HIT", "MISS", "DISABLED"]}}},
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ImageMetadata"}}},
    }


def _picture(text: str) -> Item:
    return {
        "description": text,
        "headers": {"ETag": {"schema": {"type": "string"}}, "Cache-Control": {"schema": {"type": "string"}}},
        "content": {content_type: {"schema": _binary()} for content_type in FORMATS},
    }


def _parts() -> Item:
    types = [*FORMATS, "multipart/byteranges"]
    return {
        "description": "The parts that Range asked for.",
        "headers": {"Content-Range": {"schema": {"type": "string"}}},
        "content": {content_type: {"schema": _binary()} for content_type in types},
    }


def _binary() -> Item:
    return {"type": "string", "format": "binary"}


def _unchanged() -> Item:
    return {"description": "The client has this already."}


def _error(text: str) -> Item:
    schema = {"$ref": "#/components/schemas/ErrorResponse"}
    return {
        "description": text,
        "content": {"application/json": {"schema": schema}, "application/problem+json": {"schema": {"type": "object"}}},
    }
