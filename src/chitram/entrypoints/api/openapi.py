"""What the framework cannot know of the API's description: how the answer to one request leads to others."""

from collections.abc import Iterable
from typing import Any

from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from chitram.entrypoints.support.schemas import ErrorResponse
from chitram.entrypoints.support.security_schemes import SECURITY_SCHEMES

Item = dict[str, Any]

#: Operations that take an image's id, and those of them that also want its delete token.
_OF_IMAGE = ("image_metadata", "image_file", "image_thumbnail", "checksum", "similar")
_OF_HOLDER = ("verify", "delete")
_OF_FRAMEWORK = "HTTPValidationError"
_REFERENCE = "#/components/schemas/{model}"


def errors(*statuses: int) -> dict[int | str, Item]:
    """The answers of an operation that are errors."""
    return {status: {"model": ErrorResponse} for status in statuses}


def request_body(model: type[BaseModel], *content_types: str) -> Item:
    """The body of an operation that is read by `support/json_bodies.py`."""
    schema = {"$ref": _REFERENCE.format(model=model.__name__)}
    content = {content_type: {"schema": schema} for content_type in content_types or ("application/json",)}
    return {"requestBody": {"required": True, "content": content}}


def describe_requests(document: Item, models: Iterable[type[BaseModel]]) -> None:
    """Put what `request_body` and the operations' security refer to into `document`."""
    _, described = models_json_schema([(model, "validation") for model in models], ref_template=_REFERENCE)
    components = document["components"]
    components["schemas"].update(described["$defs"])
    components["securitySchemes"] = SECURITY_SCHEMES


def operation_id(route: APIRoute) -> str:
    """The name of an operation in generated clients: that of the function behind it."""
    return route.name


def describe_as_answered(document: Item) -> None:
    """Take out of `document` the framework's own answers to what it cannot parse: ours have another shape.

    Operations that can answer 422 declare it themselves.
    """
    for operations in document["paths"].values():
        for operation in operations.values():
            if _OF_FRAMEWORK in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
    for name in (_OF_FRAMEWORK, "ValidationError"):
        document["components"]["schemas"].pop(name, None)


def upload_links() -> Item:
    """What can be done with a new image, as OpenAPI links of the answer to its upload."""
    links: Item = {name: {"operationId": name, "parameters": {"image_id": "$response.body#/id"}} for name in _OF_IMAGE}
    for name in _OF_HOLDER:
        parameters = {"path.image_id": "$response.body#/id", "header.X-Delete-Token": "$response.body#/delete_token"}
        links[name] = {"operationId": name, "parameters": parameters}
    return links
