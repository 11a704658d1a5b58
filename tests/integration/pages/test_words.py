"""What stands beside a field or above a form is written for people: sentences of the catalogue, and nothing of ours."""

import pytest

from chitram.settings import AccountSettings
from tests.factories.accounts import PASSWORD
from tests.integration.pages.browsing import Page, service
from tests.integration.requests import uploaded

NEW = {"email": "new@example.org", "password": "twelve letters"}


def beside(page, identity):
    """The text of the one element with this id."""
    (_, _, rest) = page.answer.text.partition(f'id="{identity}"')
    assert rest, identity
    return rest.partition(">")[2].partition("<")[0].replace("&#39;", "'")


@pytest.mark.parametrize(
    ("changes", "status", "identity", "words"),
    [
        (
            {"email": "no address"},
            422,
            "email-error",
            "This does not look like an e-mail address. One has the form name@example.org.",
        ),
        (
            {"email": "ada@example.org"},
            409,
            "email-error",
            "There is an account with this e-mail already. Log in instead, or take another one.",
        ),
        ({"password": "short"}, 422, "password-error", "Choose a password of 8 to 128 characters."),
        ({"password": "x" * 129}, 422, "password-error", "Choose a password of 8 to 128 characters."),
    ],
)
async def test_registering(stranger, ada, changes, status, identity, words):
    page = Page(await stranger.fill_in("/register", "/register", status=status, **(NEW | changes)))
    assert beside(page, identity) == words


async def test_a_password_that_everybody_tries(tmp_path):
    blocklist = tmp_path / "known.txt"
    blocklist.write_text("password123\n")
    async with service(tmp_path, accounts=AccountSettings(password_blocklist=blocklist)) as (_, visitor):
        page = Page(await visitor.fill_in("/register", "/register", status=422, **(NEW | {"password": "password123"})))
    assert beside(page, "password-error") == "Everybody tries this password first. Choose another one."


@pytest.mark.parametrize(
    ("changes", "identity", "words"),
    [
        ({"current_password": "wrong"}, "current-error", "The password is not right."),
        ({"new_password": "short"}, "new-error", "Choose a password of 8 to 128 characters."),
    ],
)
async def test_changing_the_password(ada, changes, identity, words):
    form = {"current_password": PASSWORD, "new_password": "another long one"} | changes
    assert beside(Page(await ada.fill_in("/account", "/account/password", status=422, **form)), identity) == words


@pytest.mark.parametrize(
    ("changes", "identity", "words"),
    [
        ({"name": " "}, "token-name-error", "Give it a name of at most 100 characters."),
        ({"scopes": None}, "scopes-error", "Tick at least one thing that the token may do."),
        ({"scopes": ["everything"]}, "scopes-error", "Choose one of those that are offered."),
    ],
)
async def test_a_token(ada, changes, identity, words):
    form = {"name": "laptop", "scopes": ["upload"], "days": ""} | changes
    assert beside(Page(await ada.fill_in("/account", "/account/tokens", status=422, **form)), identity) == words


async def test_more_tokens_than_there_can_be(ada):
    for _ in range(50):
        await ada.fill_in("/account", "/account/tokens", status=200, name="one", scopes=["upload"], days="")
    page = Page(await ada.fill_in("/account", "/account/tokens", status=422, name="x", scopes=["upload"], days=""))
    words = "You have 50 tokens, which is the most there can be. Revoke one first."
    assert beside(page, "token-name-error") == words


async def test_giving_up_without_saying_what_becomes_of_the_pictures(ada):
    page = Page(await ada.fill_in("/account", "/account/delete", status=422, images="x", password=PASSWORD))
    assert "Choose one of those that are offered." in page.text


@pytest.mark.parametrize(
    ("changes", "identity", "words"),
    [
        ({"title": "x" * 201}, "title-error", "This is too long: at most 200 characters."),
        ({"description": "x" * 5001}, "description-error", "This is too long: at most 5000 characters."),
        ({"visibility": "x"}, "visibility-error", "Choose one of those that are offered."),
    ],
)
async def test_editing(ada, changes, identity, words):
    path = f"/image/{(await uploaded(ada.client, headers=ada.account.bearer))['id']}"
    assert beside(Page(await ada.fill_in(path, path, status=422, **changes)), identity) == words


async def test_a_delete_token_of_something_else(stranger):
    path = f"/image/{(await uploaded(stranger.client))['id']}/delete"
    page = Page(await stranger.fill_in(path, path, status=403, delete_token="x"))
    assert "The delete token does not belong to this picture." in page.text
