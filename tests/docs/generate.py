"""Writes the reference pages that are made from the code: `make docs`."""

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.docs import cli_page, env_example, errors_page, metrics_page, settings_page

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
ENV_EXAMPLE = REFERENCE.parents[1] / ".env.example"
NOTE = "<!-- Made by `make docs` from the code. Change the code, not this page. -->\n"

PAGES: Mapping[str, Callable[[], str]] = {
    "cli.md": cli_page.render,
    "errors.md": errors_page.render,
    "metrics.md": metrics_page.render,
    "settings.md": settings_page.render,
}


def content(name: str) -> str:
    """What the page `name` has to say at present."""
    return f"{NOTE}\n{PAGES[name]().rstrip()}\n"


def main(folder: Path = REFERENCE, env_example_file: Path | None = None) -> None:
    for name in PAGES:
        (folder / name).write_text(content(name), encoding="utf-8")
    if env_example_file is not None:
        env_example_file.write_text(env_example.render(), encoding="utf-8")


if __name__ == "__main__":
    main(env_example_file=ENV_EXAMPLE)
