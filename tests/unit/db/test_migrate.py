"""The cheap look at the schema agrees with Alembic's own, and loads nothing of it; the scripts speak PostgreSQL too."""

import io
import re
import subprocess
import sys
from pathlib import Path

from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from chitram.adapters.db.scripts import DIRECTORY
from chitram.adapters.db.tables import metadata
from tests.factories.databases import copy_migrated

LOOK = """
import sys
from chitram.adapters.db import migrate
migrate.upgrade(sys.argv[1])
assert not migrate.pending(sys.argv[1])
print(migrate.current(sys.argv[1]), *(name for name in ("alembic", "mako") if name in sys.modules))
"""


def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(DIRECTORY))
    return ScriptDirectory.from_config(config)


def test_revisions_are_the_names_of_their_files_in_order():
    revisions = [script.revision for script in scripts().walk_revisions()]
    assert sorted(revisions, reverse=True) == revisions
    assert sorted(path.stem for path in (DIRECTORY / "versions").glob("[0-9]*.py")) == revisions[::-1]


def test_a_current_schema_is_seen_without_alembic(tmp_path: Path):
    url = copy_migrated(tmp_path / "chitram.db")
    looked = subprocess.run([sys.executable, "-c", LOOK, url], capture_output=True, text=True, check=True)
    assert looked.stdout.split() == [scripts().get_current_head()]


def in_postgresql(direction: str) -> str:
    """What the scripts would tell PostgreSQL, all of them up or down."""
    written = io.StringIO()
    opts = {"as_sql": True, "literal_binds": True, "output_buffer": written, "target_metadata": metadata}
    context = MigrationContext.configure(dialect_name="postgresql", opts=opts)
    with Operations.context(context):
        newest_first = list(scripts().walk_revisions())
        for script in newest_first if direction == "downgrade" else newest_first[::-1]:
            getattr(script.module, direction)()
    return written.getvalue()


def test_the_scripts_make_in_postgresql_what_the_tables_say():
    said = in_postgresql("upgrade")
    assert set(re.findall(r"CREATE TABLE (\w+)", said)) == set(metadata.tables)
    expected = {str(index.name) for table in metadata.tables.values() for index in table.indexes}
    assert set(re.findall(r"CREATE (?:UNIQUE )?INDEX (\w+)", said)) == expected
    named = set(re.findall(r"CONSTRAINT (\w+)", said))
    assert named == {str(constraint.name) for table in metadata.tables.values() for constraint in table.constraints}
    for statement in said.split(";"):
        # A conditional index that lost its condition would be another one.
        if "INDEX ix_images_owned" in statement or "INDEX ix_images_twins" in statement:
            assert statement.rstrip().endswith("WHERE owner_id IS NOT NULL")


def test_and_take_it_back():
    assert set(re.findall(r"DROP TABLE (\w+)", in_postgresql("downgrade"))) == set(metadata.tables)
