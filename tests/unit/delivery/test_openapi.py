from chitram.entrypoints.delivery.door import Door
from chitram.entrypoints.delivery.openapi import door_paths
from chitram.entrypoints.support.schemas import ErrorResponse, ImageMetadata
from tests.unit.support.asgi_client import make_scope
from tests.unit.support.records import IMAGE_ID


def references(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref":
                yield inner
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def test_every_described_path_and_method_is_the_doors():
    for template, operations in door_paths().items():
        path = template.replace("{image_id}", IMAGE_ID)
        for method in operations:
            assert Door.matches(make_scope(path, method=method.upper()))


def test_references_lead_to_schemas_that_exist():
    known = {f"#/components/schemas/{model.__name__}" for model in (ImageMetadata, ErrorResponse)}
    assert set(references(door_paths())) == known


def test_operations_have_names_of_their_own_and_describe_the_id():
    operations = [operation for item in door_paths().values() for operation in item.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations) == 6
    for operation in operations:
        assert operation["parameters"][0]["name"] == "image_id"
        assert {"200", "404", "503"} <= set(operation["responses"])


def test_head_describes_no_content():
    for item in door_paths().values():
        assert all("content" not in answer for answer in item["head"]["responses"].values())
