"""The names of the budgets that rate limits keep apart."""

#: Uploads without an account, by address, and with one, by account.
UPLOAD = "upload"
UPLOAD_ACCOUNT = "upload-account"
VERIFY = "verify"
SIMILAR = "similar"
#: Everything that asks for a password or makes an account: by address, by account, and by everybody together.
AUTH = "auth"
AUTH_ACCOUNT = "auth-account"
AUTH_ALL = "auth-all"
#: Wrong delete tokens, by address.
DELETE_TOKEN = "delete-token"  # noqa: S105 - the name of a budget
