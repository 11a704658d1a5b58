"""E-mail addresses as people type them."""

from email_validator import EmailNotValidError, validate_email

from chitram.domain.users import MAX_EMAIL

#: The validator refuses names that the public network does not know. Below this one it looks at the form alone.
_BELOW = ".example.org"


def clean_email(text: str) -> str:
    """`text` as an e-mail address in its usual form; ValueError when it has not the form of one.

    Nobody is asked whether it exists, and names of one's own network, such as `me@nas.local`, are as good as others.
    """
    if len(text) > MAX_EMAIL:
        # Before anything looks at it: to normalise a text of combining marks alone takes the square of its length.
        raise ValueError("must be an e-mail address")
    try:
        found = validate_email(text.strip() + _BELOW, check_deliverability=False)
    except EmailNotValidError:
        # What the validator says of it may quote it.
        raise ValueError("must be an e-mail address") from None
    return found.normalized.removesuffix(_BELOW)
