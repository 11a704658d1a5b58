"""What the framework cannot know of the API's description: how the answer to one request leads to others."""

from typing import Any

from fastapi.routing import APIRoute

#: Operations that take an image's id, and those of them that also want its delete token.
_OF_IMAGE = ("image_metadata", "image_file", "image_thumbnail", "checksum", "similar")
_OF_HOLDER = ("verify", "delete")
_OF_FRAMEWORK = "HTTPValidationError"


def operation_id(route: APIRoute) -> str:
    """The name of an operation in generated clients: that of the function behind it."""
    return route.name


def describe_as_answered(document: dict[str, Any]) -> None:
    """Take out of `document` the framework's own answers to what it cannot parse: ours have another shape.

    Operations that can answer 422 declare it themselves.
    """
    for operations in document["paths"].values():
        for operation in operations.values():
            if _OF_FRAMEWORK in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
    for name in (_OF_FRAMEWORK, "ValidationError"):
        document["components"]["schemas"].pop(name, None)


def upload_links() -> dict[str, Any]:
    """What can be done with a new image, as OpenAPI links of the answer to its upload."""
    links: dict[str, Any] = {
        name: {"operationId": name, "parameters": {"image_id": "$response.body#/id"}} for name in _OF_IMAGE
    }
    for name in _OF_HOLDER:
        parameters = {"path.image_id": "$response.body#/id", "header.X-Delete-Token": "$response.body#/delete_token"}
        links[name] = {"operationId": name, "parameters": parameters}
    return links
