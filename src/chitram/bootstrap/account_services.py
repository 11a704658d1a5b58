"""The services about accounts, on their foundation."""

from datetime import timedelta

from chitram.bootstrap.foundation import Foundation
from chitram.domain.limits import (
    AUTH,
    AUTH_ACCOUNT,
    AUTH_ALL,
    DELETE_TOKEN,
    SIMILAR,
    UPLOAD,
    UPLOAD_ACCOUNT,
    VERIFY,
)
from chitram.domain.users import Quota
from chitram.ports.jobs import JobSignal
from chitram.ports.limiter import Rate
from chitram.services.accounts import AccountPolicy, Accounts
from chitram.services.administration import Administration
from chitram.services.api_tokens import ApiTokens
from chitram.services.authentication import Authentication
from chitram.services.ownership import Ownership
from chitram.services.sessions import Sessions
from chitram.services.throttle import Throttle
from chitram.settings import MEBIBYTE, Settings


def rates(settings: Settings) -> dict[str, Rate]:
    """Every budget with its limit."""
    limits = settings.limits
    asking = {
        UPLOAD: limits.per_minute,
        UPLOAD_ACCOUNT: limits.account_per_minute,
        VERIFY: limits.per_minute,
        SIMILAR: limits.similar_per_minute,
    }
    guessing = {
        AUTH: limits.auth_attempts,
        AUTH_ACCOUNT: limits.auth_attempts,
        AUTH_ALL: limits.auth_attempts_all,
        DELETE_TOKEN: limits.auth_attempts,
    }
    all_rates = {name: Rate(name, limit, limits.window_seconds) for name, limit in asking.items()}
    return all_rates | {name: Rate(name, limit, limits.auth_window_seconds) for name, limit in guessing.items()}


def throttle(found: Foundation) -> Throttle:
    """Rate limits."""
    return Throttle(
        rates(found.settings),
        allowed=found.settings.limits.allowed,
        limiter=found.limiter,
        database=found.database,
    )


def quota(settings: Settings) -> Quota:
    """What an account may keep that has no quota of its own."""
    return Quota(bytes=settings.accounts.quota_mb * MEBIBYTE, files=settings.accounts.quota_files)


def authentication(found: Foundation) -> Authentication:
    """Whose credentials a request carries."""
    return Authentication(
        secrets=found.secrets,
        lookup=found.credentials,
        signer=found.signer,
        database=found.database,
        clock=found.clock,
    )


def sessions(found: Foundation) -> Sessions:
    """Where accounts are signed in."""
    return Sessions(database=found.database, audit=found.audit, clock=found.clock)


def accounts(found: Foundation, signal: JobSignal) -> Accounts:
    """Registration, signing in, giving up."""
    chosen = found.settings.accounts
    policy = AccountPolicy(
        registration=chosen.registration,
        bearer_life=timedelta(minutes=chosen.jwt_expire_minutes),
        browser_life=timedelta(days=chosen.session_expire_days),
        quota=quota(found.settings),
    )
    return Accounts(
        policy,
        database=found.database,
        passwords=found.passwords,
        signer=found.signer,
        cache=found.caches,
        signal=signal,
        audit=found.audit,
        clock=found.clock,
        identifiers=found.identifiers,
    )


def ownership(found: Foundation, signal: JobSignal) -> Ownership:
    """Edits and claims."""
    return Ownership(
        quota=quota(found.settings),
        database=found.database,
        lookup=found.lookup,
        cache=found.caches,
        signal=signal,
        audit=found.audit,
        clock=found.clock,
    )


def api_tokens(found: Foundation) -> ApiTokens:
    """Keys for programs."""
    return ApiTokens(database=found.database, audit=found.audit, clock=found.clock, identifiers=found.identifiers)


def administration(found: Foundation) -> Administration:
    """What admins do."""
    return Administration(
        database=found.database,
        passwords=found.passwords,
        audit=found.audit,
        clock=found.clock,
        identifiers=found.identifiers,
    )
