"""Every word of the pages, by key, so that it can be translated."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

_DIRECTORY = Path(__file__).parent / "texts"


class Catalogue:
    """The words of one language. `t("gallery.title")`, `t("quota.used", used="3 MB")`; KeyError for unknown keys."""

    def __init__(self, language: str = "en") -> None:
        self.language = language
        # One file a part of the site; its name begins the keys.
        self._texts: dict[str, str] = {}
        for path in sorted((_DIRECTORY / language).glob("*.toml")):
            with path.open("rb") as file:
                self._texts.update(_flatten(tomllib.load(file), f"{path.stem}."))

    def __call__(self, key: str, **values: object) -> str:
        """The text of `key` with `values` in the places of their names."""
        text = self._texts[key]
        return text.format_map(values) if values else text

    def error(self, code: str, *, otherwise: str, **values: object) -> str:
        """What people are told of an error, by its code; `otherwise` the message that programs get."""
        key = f"errors.{code}"
        return self(key, **values) if key in self._texts else otherwise

    def problem(self, name: str | None, **values: object) -> str | None:
        """What people are told of the problem that an error names; None when it names none that has words."""
        key = f"problems.{name}"
        return self(key, **values) if key in self._texts else None

    def for_scripts(self) -> Mapping[str, str]:
        """The texts that the page's script shows."""
        return {key.removeprefix("script."): text for key, text in self._texts.items() if key.startswith("script.")}

    @property
    def keys(self) -> frozenset[str]:
        """Every key."""
        return frozenset(self._texts)


def _flatten(table: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(value)
