"""Who is answered what, for every operation of the API: the table of the two-user matrix.

A row says, for each object of the owner that the operation can be asked for, the statuses that the callers get, in the
order of CALLERS. A new operation needs a row, or the tests fail.
"""

from collections.abc import Mapping

#: STRANGER: no credentials. GUESSER: a delete token of an image of their own. OTHER, TOKEN, COOKIE: somebody else's
#: account, by access token, by an API token of all scopes, and in a browser. ADMIN: an admin. OWNER: whose it all is.
CALLERS = ("stranger", "guesser", "other", "token", "cookie", "admin", "owner")
#: Objects that an `{image_id}` stands for. "anonymous": somebody else's without an account. "missing": there is none.
IMAGES = ("public", "unlisted", "private", "anonymous", "missing")

Row = Mapping[str, str]

_SEEN: Row = {
    "public": "200 200 200 200 200 200 200",
    "unlisted": "200 200 200 200 200 200 200",
    "private": "404 404 404 404 404 404 200",
    "anonymous": "200 200 200 200 200 200 200",
    "missing": "404 404 404 404 404 404 404",
}
_CONTROLLED: Row = {
    "public": "403 403 403 403 403 200 200",
    "unlisted": "403 403 403 403 403 200 200",
    "private": "404 404 404 404 404 200 200",
    "anonymous": "403 403 403 403 403 200 403",
    "missing": "404 404 404 404 404 404 404",
}
_EVERYBODY: Row = {"": "200 200 200 200 200 200 200"}
_WRONG_PASSWORD: Row = {"": "401 401 401 401 401 401 401"}
_OWN_ACCOUNT: Row = {"": "401 401 200 200 200 200 200"}
#: What API tokens may not do, whatever their scopes.
_OWN_SESSION: Row = {"": "401 401 200 403 200 200 200"}
_ENDING: Row = {"": "401 401 204 403 204 204 204"}

EXPECTED: Mapping[str, Row] = {
    "image_metadata": _SEEN,
    "image_metadata_head": _SEEN,
    "image_file": _SEEN,
    "image_file_head": _SEEN,
    "image_thumbnail": _SEEN,
    "image_thumbnail_head": _SEEN,
    "checksum": _SEEN,
    "similar": _SEEN,
    "verify": _CONTROLLED,
    "delete": {name: statuses.replace("200", "204") for name, statuses in _CONTROLLED.items()},
    "change": {
        "public": "403 403 403 403 403 403 200",
        "unlisted": "403 403 403 403 403 403 200",
        "private": "404 404 404 404 404 404 200",
        "anonymous": "403 403 403 403 403 403 403",
        "missing": "404 404 404 404 404 404 404",
    },
    "claim": {
        "public": "401 401 403 403 403 403 200",
        "unlisted": "401 401 403 403 403 403 200",
        "private": "401 401 404 404 404 404 200",
        "anonymous": "401 401 403 403 403 403 403",
        "missing": "401 401 404 404 404 404 404",
    },
    "upload": {"": "201 201 201 201 201 201 201"},
    "list_public": _EVERYBODY,
    "health": _EVERYBODY,
    "live": _EVERYBODY,
    "ready": _EVERYBODY,
    "metrics": _EVERYBODY,
    "register": {"": "409 409 409 409 409 409 409"},
    "login": _WRONG_PASSWORD,
    "token": _WRONG_PASSWORD,
    "begin_session": _WRONG_PASSWORD,
    "me": _OWN_ACCOUNT,
    "list_owned": _OWN_ACCOUNT,
    "usage": _OWN_ACCOUNT,
    "show_session": _OWN_SESSION,
    "list_sessions": _OWN_SESSION,
    "list_tokens": _OWN_SESSION,
    "create_token": {"": "401 401 201 403 201 201 201"},
    "logout": _ENDING,
    "end_session": _ENDING,
    "end_other_sessions": _ENDING,
    "revoke_tokens": _ENDING,
    "change_password": _ENDING,
    "delete_account": _ENDING,
    "end_one_session": {
        "session": "401 401 404 403 404 404 204",
        "missing": "401 401 404 403 404 404 404",
    },
    "revoke_token": {
        "api token": "401 401 404 403 404 404 204",
        "missing": "401 401 404 403 404 404 404",
    },
}

#: What admins may do with others' private images: they are told the digest of what they verify, and delete.
ADMIN_VERIFIES, ADMIN_DELETES = "verify", "delete"


def expected(operation: str, thing: str, caller: str) -> int:
    """The status of the table."""
    return int(EXPECTED[operation][thing].split()[CALLERS.index(caller)])
