"""What has to be on record: who did, or tried to do, what, to what, from where."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class AuditAction(StrEnum):
    REGISTER = "register"
    LOGIN = "login"
    LOGOUT = "logout"
    PASSWORD_CHANGE = "password_change"  # noqa: S105 - the name of an event
    SESSION_END = "session_end"
    TOKEN_CREATE = "token_create"  # noqa: S105 - the name of an event
    TOKEN_REVOKE = "token_revoke"  # noqa: S105 - the name of an event
    ACCOUNT_DELETE = "account_delete"
    ACCESS_REFUSED = "access_refused"
    IMAGE_DELETE = "image_delete"
    IMAGE_CHANGE = "image_change"
    IMAGE_CLAIM = "image_claim"
    ADMIN_CREATE = "admin_create"
    ADMIN_ROLE = "admin_role"
    ADMIN_PASSWORD_RESET = "admin_password_reset"  # noqa: S105 - the name of an event
    ADMIN_INVITE = "admin_invite"
    ADMIN_QUOTA = "admin_quota"
    ADMIN_ACTIVATION = "admin_activation"


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """`actor`: the id of an account, `delete-token`, `command-line`, or None for a stranger; `subject`: the id of what
    it was done to. `refusal`: the code of the error that it ended in, None for what was done. Never a secret.
    """

    action: AuditAction
    actor: str | None
    subject: str | None
    address: str | None = None
    refusal: str | None = None
    details: Mapping[str, object] = field(default_factory=dict)
