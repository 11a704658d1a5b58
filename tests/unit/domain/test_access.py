"""Who may see and change which image."""

from dataclasses import replace

import pytest

from chitram.domain.access import (
    ANONYMOUS,
    Viewer,
    controls,
    hash_delete_token,
    may_see,
    require_control,
    require_visible,
)
from chitram.domain.errors import DeleteTokenRequired, ImageNotFound, InvalidDeleteToken
from chitram.domain.images import Visibility
from tests.unit.support.records import make_record

TOKEN = "t" * 43
HOLDER, STRANGER = Viewer(delete_token=TOKEN), Viewer(delete_token="x" * 43)


def record(visibility=Visibility.UNLISTED, *, broken=None, token=TOKEN):
    made = make_record(visibility=visibility, broken_reason=broken)
    hashed = None if token is None else hash_delete_token(token)
    return replace(made, image=replace(made.image, delete_token_hash=hashed))


def test_a_token_is_stored_as_its_hash_only():
    assert hash_delete_token(TOKEN) != TOKEN
    assert len(hash_delete_token("\udcff చి")) == 64


@pytest.mark.parametrize(
    ("viewer", "token", "expected"),
    [(HOLDER, TOKEN, True), (STRANGER, TOKEN, False), (ANONYMOUS, TOKEN, False), (HOLDER, None, False)],
)
def test_control_is_the_token(viewer, token, expected):
    assert controls(record(token=token).image, viewer) is expected


@pytest.mark.parametrize("visibility", [Visibility.PUBLIC, Visibility.UNLISTED])
def test_whoever_has_the_id_sees_what_is_not_hidden(visibility):
    for viewer in (ANONYMOUS, STRANGER, HOLDER):
        assert may_see(record(visibility), viewer)


@pytest.mark.parametrize("hidden", [record(Visibility.PRIVATE), record(Visibility.PUBLIC, broken="corrupt")])
def test_hidden_ones_are_for_their_holder(hidden):
    assert hidden.hidden
    assert may_see(hidden, HOLDER)
    require_visible(hidden, HOLDER)
    require_control(hidden, HOLDER)
    for viewer in (ANONYMOUS, STRANGER):
        assert not may_see(hidden, viewer)
        for rule in (require_visible, require_control):
            with pytest.raises(ImageNotFound):
                rule(hidden, viewer)


def test_what_can_be_seen_is_refused_by_name():
    require_control(record(), HOLDER)
    with pytest.raises(DeleteTokenRequired):
        require_control(record(), ANONYMOUS)
    with pytest.raises(InvalidDeleteToken):
        require_control(record(), STRANGER)
    with pytest.raises(InvalidDeleteToken):
        require_control(record(token=None), HOLDER)


def test_tokens_are_compared_in_constant_time():
    # Only the comparison that takes as long for every token insists on ASCII; any other would say "different" here.
    odd = replace(record().image, delete_token_hash="ü" * 64)
    with pytest.raises(TypeError, match="ASCII"):
        controls(odd, HOLDER)
