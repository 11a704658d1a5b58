"""Who may see and change which image."""

from dataclasses import replace
from itertools import product

import pytest

from chitram.domain.access import (
    ANONYMOUS,
    Viewer,
    controls,
    holds_delete_token,
    may_see,
    owns,
    require_control,
    require_owner,
    require_scope,
    require_session,
    require_user,
    require_visible,
)
from chitram.domain.api_tokens import ALL_SCOPES, Scope, hash_secret
from chitram.domain.errors import (
    ChitramError,
    DeleteTokenRequired,
    Forbidden,
    ImageNotFound,
    InvalidDeleteToken,
    Unauthorized,
)
from chitram.domain.images import Visibility
from chitram.domain.users import Role
from tests.factories.rows import new_session, new_user, user_id_of
from tests.unit.support.records import make_record

TOKEN = "t" * 43
WRONG = "x" * 43
OWNER, OTHER = new_user(1), new_user(2)
ADMIN = new_user(3, role=Role.ADMIN)
SESSION = new_session()
NO_SCOPES: frozenset[Scope] = frozenset()


def record(visibility=Visibility.UNLISTED, *, broken=None, token=None, owner=None):
    made = make_record(visibility=visibility, broken_reason=broken)
    hashed = None if token is None else hash_secret(token)
    owner_id = None if owner is None else owner.id
    return replace(made, image=replace(made.image, delete_token_hash=hashed, owner_id=owner_id))


def outcome(rule, *arguments, **options):
    """What `rule` raises, None when it lets the viewer pass."""
    try:
        rule(*arguments, **options)
    except ChitramError as error:
        return type(error)
    return None


ANONYMOUS_IMAGE = {"token": TOKEN}
OWNED_IMAGE = {"owner": OWNER}
NOBODYS_IMAGE: dict[str, object] = {}

HOLDER = Viewer(delete_token=TOKEN)
GUESSER = Viewer(delete_token=WRONG)
OWNING = Viewer(user=OWNER, session=SESSION)
OTHERS = Viewer(user=OTHER, session=SESSION)
ADMINS = Viewer(user=ADMIN, session=SESSION)

# What becomes of those who want to change an image that everybody with its address may see.
CHANGES = [
    (ANONYMOUS_IMAGE, HOLDER, None),
    (ANONYMOUS_IMAGE, GUESSER, InvalidDeleteToken),
    (ANONYMOUS_IMAGE, ANONYMOUS, DeleteTokenRequired),
    (ANONYMOUS_IMAGE, OTHERS, DeleteTokenRequired),
    (ANONYMOUS_IMAGE, replace(OTHERS, delete_token=TOKEN), None),
    (ANONYMOUS_IMAGE, replace(OTHERS, delete_token=TOKEN, scopes=NO_SCOPES), None),
    (ANONYMOUS_IMAGE, replace(OTHERS, delete_token=WRONG), InvalidDeleteToken),
    (ANONYMOUS_IMAGE, ADMINS, None),
    (ANONYMOUS_IMAGE, replace(ADMINS, scopes=NO_SCOPES), DeleteTokenRequired),
    (OWNED_IMAGE, OWNING, None),
    (OWNED_IMAGE, replace(OWNING, delete_token=WRONG), None),
    (OWNED_IMAGE, replace(OWNING, scopes=NO_SCOPES), Forbidden),
    (OWNED_IMAGE, replace(OWNING, scopes=NO_SCOPES, delete_token=TOKEN), Forbidden),
    (OWNED_IMAGE, OTHERS, Forbidden),
    (OWNED_IMAGE, ANONYMOUS, Forbidden),
    (OWNED_IMAGE, HOLDER, InvalidDeleteToken),
    (OWNED_IMAGE, replace(OTHERS, delete_token=WRONG), InvalidDeleteToken),
    (OWNED_IMAGE, ADMINS, None),
    (OWNED_IMAGE, replace(ADMINS, scopes=NO_SCOPES), Forbidden),
    (NOBODYS_IMAGE, ANONYMOUS, Forbidden),
    (NOBODYS_IMAGE, HOLDER, InvalidDeleteToken),
    (NOBODYS_IMAGE, OTHERS, Forbidden),
    (NOBODYS_IMAGE, ADMINS, None),
]


@pytest.mark.parametrize("visibility", [Visibility.PUBLIC, Visibility.UNLISTED])
@pytest.mark.parametrize(("image", "viewer", "expected"), CHANGES)
def test_who_may_change_what_everybody_may_see(image, viewer, expected, visibility):
    made = record(visibility, **image)
    assert may_see(made, viewer)
    require_visible(made, viewer)
    for scope in Scope:
        assert outcome(require_control, made, viewer, scope=scope) is expected
        assert controls(made.image, viewer, scope=scope) is (expected is None)


@pytest.mark.parametrize("hiding", [{"visibility": Visibility.PRIVATE}, {"broken": "corrupt"}])
@pytest.mark.parametrize(("image", "viewer", "expected"), CHANGES)
def test_hidden_ones_are_not_there_for_those_whose_they_are_not(image, viewer, expected, hiding):
    made = record(**image, **hiding)
    assert made.hidden
    refused = None if expected is None else Forbidden if owns(made.image, viewer) else ImageNotFound
    for scope in Scope:
        assert outcome(require_control, made, viewer, scope=scope) is refused


@pytest.mark.parametrize("hiding", [{"visibility": Visibility.PRIVATE}, {"broken": "corrupt"}])
@pytest.mark.parametrize(
    ("image", "viewer", "expected"),
    [
        (ANONYMOUS_IMAGE, HOLDER, True),
        (ANONYMOUS_IMAGE, replace(OTHERS, delete_token=TOKEN), True),
        (ANONYMOUS_IMAGE, GUESSER, False),
        (ANONYMOUS_IMAGE, ANONYMOUS, False),
        (ANONYMOUS_IMAGE, OTHERS, False),
        (ANONYMOUS_IMAGE, ADMINS, False),
        (OWNED_IMAGE, OWNING, True),
        (OWNED_IMAGE, replace(OWNING, scopes=frozenset({Scope.READ})), True),
        (OWNED_IMAGE, replace(OWNING, scopes=ALL_SCOPES - {Scope.READ}), False),
        (OWNED_IMAGE, OTHERS, False),
        (OWNED_IMAGE, ANONYMOUS, False),
        (OWNED_IMAGE, HOLDER, False),
        (OWNED_IMAGE, ADMINS, False),
        (NOBODYS_IMAGE, ANONYMOUS, False),
        (NOBODYS_IMAGE, HOLDER, False),
        (NOBODYS_IMAGE, ADMINS, False),
    ],
)
def test_who_is_shown_what_is_hidden(image, viewer, expected, hiding):
    made = record(**image, **hiding)
    assert may_see(made, viewer) is expected
    assert outcome(require_visible, made, viewer) is (None if expected else ImageNotFound)


@pytest.mark.parametrize(("scope", "granted"), [*product(Scope, Scope)])
def test_a_token_of_the_owner_is_good_for_what_it_was_made_for(scope, granted):
    viewer = Viewer(user=OWNER, scopes=frozenset({granted}))
    expected = None if scope is granted else Forbidden
    assert outcome(require_control, record(owner=OWNER), viewer, scope=scope) is expected
    assert outcome(require_owner, record(owner=OWNER), viewer, scope=scope) is expected
    assert outcome(require_scope, viewer, scope) is expected
    assert viewer.may(scope) is (scope is granted)
    with pytest.raises(Forbidden) as caught:
        require_scope(replace(viewer, scopes=NO_SCOPES), scope)
    assert caught.value.details == {"required_scope": scope.value}


@pytest.mark.parametrize(
    ("image", "viewer", "seen", "hidden"),
    [
        (OWNED_IMAGE, OWNING, None, None),
        (OWNED_IMAGE, replace(OWNING, scopes=NO_SCOPES), Forbidden, ImageNotFound),
        (OWNED_IMAGE, replace(OWNING, scopes=frozenset({Scope.READ})), Forbidden, Forbidden),
        (OWNED_IMAGE, OTHERS, Forbidden, ImageNotFound),
        (OWNED_IMAGE, ANONYMOUS, Forbidden, ImageNotFound),
        (OWNED_IMAGE, ADMINS, Forbidden, ImageNotFound),
        (OWNED_IMAGE, HOLDER, Forbidden, ImageNotFound),
        (ANONYMOUS_IMAGE, HOLDER, Forbidden, Forbidden),
        (ANONYMOUS_IMAGE, OWNING, Forbidden, ImageNotFound),
        (NOBODYS_IMAGE, OWNING, Forbidden, ImageNotFound),
        (NOBODYS_IMAGE, ANONYMOUS, Forbidden, ImageNotFound),
        (NOBODYS_IMAGE, ADMINS, Forbidden, ImageNotFound),
    ],
)
def test_what_is_for_the_owner_alone(image, viewer, seen, hidden):
    for visibility, expected in ((Visibility.PUBLIC, seen), (Visibility.PRIVATE, hidden)):
        assert outcome(require_owner, record(visibility, **image), viewer, scope=Scope.UPLOAD) is expected


def test_a_delete_token_is_worth_nothing_once_an_image_has_an_owner():
    both = record(token=TOKEN, owner=OWNER)
    assert not holds_delete_token(both.image, HOLDER)
    assert outcome(require_control, both, HOLDER, scope=Scope.DELETE) is InvalidDeleteToken


def test_nobody_owns_what_has_no_owner():
    assert not owns(record().image, ANONYMOUS)
    assert not owns(record(owner=OWNER).image, ANONYMOUS)
    assert owns(record(owner=OWNER).image, Viewer(user=OWNER, scopes=NO_SCOPES))


def test_what_asks_for_an_account():
    assert require_user(OWNING, scope=Scope.READ) is OWNER
    for viewer in (ANONYMOUS, HOLDER):
        with pytest.raises(Unauthorized):
            require_user(viewer, scope=Scope.READ)
    with pytest.raises(Forbidden):
        require_user(Viewer(user=OWNER, scopes=frozenset({Scope.UPLOAD})), scope=Scope.READ)


def test_what_asks_for_a_sign_in_is_not_for_api_tokens():
    assert require_session(OWNING) == (OWNER, SESSION)
    with pytest.raises(Unauthorized):
        require_session(HOLDER)
    with pytest.raises(Forbidden, match="API token"):
        require_session(Viewer(user=OWNER, scopes=ALL_SCOPES))


def test_strangers_have_no_scope_at_all():
    assert not any(viewer.may(scope) for viewer in (ANONYMOUS, HOLDER) for scope in Scope)


def test_names_for_the_audit_log_are_no_secrets():
    assert ANONYMOUS.name is None
    assert HOLDER.name == "delete-token"
    assert replace(OWNING, delete_token=TOKEN).name == OWNING.user_id == user_id_of(1)
    assert ANONYMOUS.user_id is None


def test_tokens_are_compared_in_constant_time():
    # Only the comparison that takes as long for every token insists on ASCII; any other would say "different" here.
    odd = replace(record().image, delete_token_hash="ü" * 64)
    with pytest.raises(TypeError, match="ASCII"):
        holds_delete_token(odd, HOLDER)


@pytest.mark.parametrize("odd", ["", "\udcff చి", "\0", "t" * 100_000])
def test_odd_delete_tokens_are_just_wrong(odd):
    assert (
        outcome(require_control, record(token=TOKEN), Viewer(delete_token=odd), scope=Scope.DELETE)
        is InvalidDeleteToken
    )
