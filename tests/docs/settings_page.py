"""docs/reference/settings.md: every setting, from the tree itself."""

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from pydantic import BaseModel

from chitram.settings import Entry, Settings, entries
from tests.docs.tables import code, table

INTRODUCTION = """# Settings

Chitram reads its settings once, at start, from the environment and from a file `.env` in the working directory; the
environment wins. All of them have a default. A value that cannot be used ends the start with a line that names the
variable. `chitram settings` prints what is in force and where each value comes from.

`APP_ENV=production` refuses to start unless `ALLOWED_HOSTS` is set, `DEBUG` is off, `BCRYPT_ROUNDS` is 10 or more, and
`JWT_SECRET_KEY` and each of `JWT_PREVIOUS_SECRET_KEYS`, where given, are real secrets.
"""

TYPES = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "array": "list"}


def untouched() -> Settings:
    """The tree with every default, whatever the environment says."""
    groups = {name: field.annotation for name, field in Settings.model_fields.items()}
    return Settings.model_construct(None, **{name: group.model_construct() for name, group in groups.items() if group})


def allowed(schema: Mapping[str, Any]) -> str:
    """What a JSON schema of one value allows, in words."""
    choices = [option for option in schema.get("anyOf", ()) if option.get("type") != "null"]
    if choices:
        return allowed(choices[0])
    if "enum" in schema or "const" in schema:
        return ", ".join(code(value) for value in schema.get("enum", [schema.get("const")]))
    bounds = [
        f"{word} {schema[key]:,}"
        for key, word in (("minimum", "from"), ("exclusiveMinimum", "above"), ("maximum", "to"))
        if key in schema
    ]
    kind = {"path": "path", "password": "secret"}.get(schema.get("format", "")) or TYPES[schema.get("type", "string")]
    return " ".join([kind, *bounds])


def schemas(settings: type[BaseModel]) -> dict[str, Mapping[str, Any]]:
    """Variable → JSON schema of its value."""
    found: dict[str, Mapping[str, Any]] = {}
    for field in settings.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            document = field.annotation.model_json_schema()
            found |= {name: _resolved(schema, document) for name, schema in document["properties"].items()}
    return found


def _resolved(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    return document["$defs"][reference.rpartition("/")[2]] if reference else schema


def shown(default: object) -> str:
    """A default as one would write it into `.env`."""
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    if isinstance(default, bool):
        return str(default).lower()
    return "" if default is None else str(default)


def render() -> str:
    values = schemas(Settings)
    parts = [INTRODUCTION]
    for group, members in groupby(entries(untouched()), key=lambda entry: entry.group):
        rows = [_row(entry, values[entry.variable]) for entry in members]
        parts.append(f"## {group.rstrip('.')}\n\n{table(['Variable', 'Default', 'Values', 'Meaning'], rows)}\n")
    return "\n".join(parts)


def _row(entry: Entry, schema: Mapping[str, Any]) -> list[str]:
    return [code(entry.variable), code(shown(entry.default)), allowed(schema), entry.help]
