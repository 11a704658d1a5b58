""".env.example: every setting with its default, commented out, under its sentence."""

import textwrap
from itertools import groupby

from chitram.settings import Entry, Settings, entries
from tests.docs.settings_page import allowed, schemas, shown, untouched

INTRODUCTION = """\
# Made by `make docs` from the settings: copy to .env and take the mark away from what is to be different.
# Everything has a default; a value that cannot be used ends the start with a line that names the variable.

# The files below deploy/compose read these too; Chitram itself does not know them.
#POSTGRES_PASSWORD=
#MINIO_ROOT_USER=
#MINIO_ROOT_PASSWORD=
#FLOWER_BASIC_AUTH=
#CHITRAM_TLS_DIR=
#CHITRAM_ACME_DIR=/var/www/acme
#CHITRAM_BODY_LIMIT=6m
"""


def render() -> str:
    values = schemas(Settings)
    parts = [INTRODUCTION]
    for group, members in groupby(entries(untouched()), key=lambda entry: entry.group):
        lines = [f"# ---- {group.rstrip('.')}\n"]
        for entry in members:
            comment = f"{entry.help} ({allowed(values[entry.variable])})"
            lines += textwrap.wrap(comment, 100, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
            lines.append(f"#{entry.variable}={_default(entry)}\n")
        parts.append("\n".join(lines))
    return "\n".join(parts)


def _default(entry: Entry) -> str:
    # A secret has no default that anybody could copy.
    return "" if entry.secret else shown(entry.default)
