"""What a setting is: its variable, its default, its sentence, and the forms that values may have."""

import ipaddress
import re
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from chitram.domain.media import FORMATS


def split_names(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def known_types(value: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [v for v in value if v not in FORMATS]
    if unknown or not value:
        raise ValueError(f"must name one or more of {', '.join(FORMATS)}")
    return value


def networks(value: tuple[str, ...]) -> tuple[str, ...]:
    for network in value:
        ipaddress.ip_network(network, strict=False)
    return value


#: A name, an address of IPv4 or one of IPv6 in brackets; `*.` before a name stands for everything below it.
_HOST = re.compile(r"(\*|(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\])\Z")


def host_names(value: tuple[str, ...]) -> tuple[str, ...]:
    if not all(map(_HOST.match, value)):
        raise ValueError(
            "must be host names without http:// and without a port, such as img.example.org or *.example.org"
        )
    return value


def origins(value: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(origin if origin == "*" else _origin(origin) for origin in value)


def _origin(text: str) -> str:
    """`text` as browsers write it: in lower case, and without the port that goes without saying."""
    parts = urlsplit(text)
    default_port = {"http": 80, "https": 443}.get(parts.scheme)
    if default_port is None or not parts.hostname or text.lower() != f"{parts.scheme}://{parts.netloc}".lower():
        raise ValueError("must be origins such as https://app.example.org, or *")
    if "@" in parts.netloc:
        raise ValueError("must be origins, without a name or a password")
    return text.lower().removesuffix(f":{default_port}") if parts.port == default_port else text.lower()


def one_secret(value: SecretStr | None) -> SecretStr | None:
    if value is not None and "," in value.get_secret_value():
        raise ValueError("must not contain a comma: it could not be named in JWT_PREVIOUS_SECRET_KEYS later")
    return value


def base_url(value: str) -> str:
    if value and not value.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    return value.rstrip("/")


def host_and_port(value: str) -> str:
    host, _, port = value.rpartition(":")
    if value and not (host and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError("must have the form host:port")
    return value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_names)]


class Group(BaseSettings):
    """Settings that belong together; each field's alias is its environment variable."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, env_ignore_empty=True, hide_input_in_errors=True
    )


def setting(variable: str, default: Any, help_text: str, **constraints: Any) -> Any:  # noqa: ANN401  # as pydantic's Field
    """A field read from the environment variable `variable`."""
    return Field(default, validation_alias=variable, description=help_text, **constraints)


at_least_one = partial(setting, ge=1)
