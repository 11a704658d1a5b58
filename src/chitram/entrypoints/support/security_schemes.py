"""How the API's description says in which ways a request may tell who sends it."""

from typing import Any

from chitram.entrypoints.support.cookies import NAME, SECURE_NAME

Item = dict[str, Any]

#: Ways to say who is asking: by e-mail and password from the page of this description, by a token, in a browser.
SECURITY_SCHEMES: Item = {
    "password": {
        "type": "oauth2",
        "description": "E-mail and password, for an access token.",
        "flows": {"password": {"tokenUrl": "/api/v1/auth/token", "scopes": {}}},
    },
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An access token, or an API token (`chitram_...`).",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": NAME,
        "description": f"A browser's session; under https the cookie is `{SECURE_NAME}`. Changes then have to "
        "come from our own pages, or carry `X-CSRF-Token`.",
    },
}
_WAYS: list[Item] = [{name: []} for name in SECURITY_SCHEMES]
#: Of an operation that needs an account, and of one that knows accounts but needs none.
ACCOUNT: Item = {"security": _WAYS}
ANYBODY: Item = {"security": [{}, *_WAYS]}
