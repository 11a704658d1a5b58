"""Where tests stand that do not stand everywhere."""

import pytest

#: For tests that reach for something which only a house that stands alone has. Say what.
EMBEDDED = pytest.mark.parametrize("place", ["embedded"], indirect=True)
