"""The page for contributors names what has to be there before the tests run."""

import re

from tests.architecture.sources import ROOT
from tests.services.packages import NEEDED

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_every_debian_package_of_the_tests_is_named():
    (listed,) = re.findall(r"drives a few Debian packages \(([^)]*)\)", PAGE)
    assert set(re.findall(r"`([^`]+)`", listed)) == {package for package, _ in NEEDED.values()}
