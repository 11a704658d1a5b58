"""How often somebody may ask for something."""

from collections.abc import Iterable, Mapping
from ipaddress import ip_network

from chitram.domain.access import Viewer
from chitram.domain.addresses import limit_subject, parse_address
from chitram.domain.limits import AUTH, AUTH_ACCOUNT, AUTH_ALL, DELETE_TOKEN, UPLOAD, UPLOAD_ACCOUNT
from chitram.domain.users import email_key
from chitram.ports.limiter import Limiter, Rate, Verdict
from chitram.ports.unit_of_work import Database

_EVERYBODY = "everybody"


class Throttle:
    """`rates`: one for each budget of domain/limits.py. `allowed`: networks in CIDR notation that have no limits."""

    def __init__(
        self, rates: Mapping[str, Rate], *, allowed: Iterable[str], limiter: Limiter, database: Database
    ) -> None:
        self._rates = rates
        self._allowed = tuple(ip_network(network, strict=False) for network in allowed)
        self._limiter = limiter
        self._database = database

    async def count(self, budget: str, *, viewer: Viewer) -> Verdict:
        """Count one request against the viewer's budget: their account's, or else their address's."""
        if budget == UPLOAD and viewer.user is not None:
            budget = UPLOAD_ACCOUNT
        rate = self._rates[budget]
        if self._is_allowed(viewer.address):
            return _unlimited(rate)
        address = limit_subject(viewer.address)
        return await self._limiter.hit(rate, subject=f"user:{viewer.user_id}" if viewer.user else address)

    async def attempt(self, *, address: str, email: str | None = None, viewer: Viewer | None = None) -> Verdict:
        """Count one attempt that a password could be guessed with, or an account be made.

        `viewer`: who confirms the password of the account that they are signed in to, which is counted by that account
        alone. For everybody else the verdict is that of the budget that is used up, if one is, else that of the
        address. What strangers have used up, the account's budget or everybody's, does not shut an account to the
        addresses that it was signed in from.
        """
        rate = self._rates[AUTH]
        if self._is_allowed(address):
            return _unlimited(rate)
        if viewer is not None and viewer.user is not None:
            return await self._limiter.hit(rate, subject=f"user:{viewer.user_id}")
        verdict = await self._limiter.hit(rate, subject=limit_subject(address))
        if not verdict.allowed:
            return verdict
        used_up = await self._used_up(email)
        if used_up is None or (email is not None and await self._is_familiar(address, email)):
            return verdict
        return used_up

    async def require_guesses(self, viewer: Viewer) -> Verdict:
        """Whether the viewer may show a delete token, or their address has guessed too many wrong. Counts nothing."""
        rate = self._rates[DELETE_TOKEN]
        if viewer.delete_token is None or self._is_allowed(viewer.address):
            return _unlimited(rate)
        return await self._limiter.peek(rate, subject=limit_subject(viewer.address))

    async def guessed_wrong(self, viewer: Viewer) -> None:
        """Count a delete token that was not the right one."""
        await self._limiter.hit(self._rates[DELETE_TOKEN], subject=limit_subject(viewer.address))

    async def _used_up(self, email: str | None) -> Verdict | None:
        """Count an attempt by its account and by everybody together: the verdict of the first that has nothing left."""
        if email is not None:
            of_account = await self._limiter.hit(self._rates[AUTH_ACCOUNT], subject=email_key(email))
            if not of_account.allowed:
                return of_account
        of_all = await self._limiter.hit(self._rates[AUTH_ALL], subject=_EVERYBODY)
        return None if of_all.allowed else of_all

    async def _is_familiar(self, address: str, email: str) -> bool:
        async with self._database.read() as repositories:
            user = await repositories.users.find(email_key(email))
            # Asked of accounts that do not exist too: the time of the answer must not tell which ones do.
            subject = limit_subject(address)
            return await repositories.sessions.knows_address(user.id if user else "", subject=subject)

    def _is_allowed(self, text: str) -> bool:
        address = parse_address(text) if self._allowed else None
        return address is not None and any(address in network for network in self._allowed)


def _unlimited(rate: Rate) -> Verdict:
    return Verdict(allowed=True, rate=rate, remaining=rate.limit, reset=0.0, retry_after=0.0)
