"""The cheap look at the schema agrees with Alembic's own, and loads nothing of it."""

import subprocess
import sys
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from chitram.adapters.db.scripts import DIRECTORY
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
