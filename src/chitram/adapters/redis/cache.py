"""The cache of image records that all server processes share."""

import asyncio
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from chitram.adapters.redis.client import RedisClient, RedisUnavailableError
from chitram.adapters.redis.links import Script
from chitram.adapters.redis.pending import HEARD_AFTER, PendingInvalidations
from chitram.adapters.redis.records import decode, encode
from chitram.domain.errors import ServiceUnavailable
from chitram.domain.images import ImageRecord
from chitram.ports.cache import Miss

#: A record has to be read from the database and filled in within this time, in milliseconds.
TICKET_LIFE = 10_000
#: Images whose records are dropped with one command.
BATCH = 250

#: KEYS: record, ticket. ARGV: incarnation, a ticket to give out, its life. What another incarnation has left behind is
#: not there. Where nothing can be written, nobody gets a ticket.
_GET = Script.of("""
local record = redis.call('GET', KEYS[1])
if record and string.sub(record, 8, 8 + #ARGV[1]) == ARGV[1] .. '"' then
  return {record}
end
local ticket = redis.call('GET', KEYS[2])
if not ticket or string.sub(ticket, 1, #ARGV[1]) ~= ARGV[1] then
  ticket = ARGV[2]
  local answer = redis.pcall('SET', KEYS[2], ARGV[1] .. ticket, 'PX', ARGV[3])
  if answer.err then
    return {}
  end
  ticket = ARGV[1] .. ticket
end
return {false, ticket}
""")

#: KEYS: record, ticket. ARGV: incarnation, the ticket that was given out, the record, its life.
_FILL = Script.of("""
if string.sub(ARGV[2], 1, #ARGV[1]) == ARGV[1] and redis.call('GET', KEYS[2]) == ARGV[2] then
  redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
end
""")


@dataclass(frozen=True, slots=True)
class _Ticket:
    """`value` as it lies in Redis, which begins with the incarnation."""

    incarnation: str
    value: str


class RedisRecordCache:
    """Records under `<prefix>:image:<id>`, for `ttl` seconds (docs/adr/0020-redis.md).

    A miss leaves a ticket beside the record, and only who shows it may fill the record in; an invalidation takes both
    away. Tickets and records carry the server's incarnation: what comes back with a restored or promoted server counts
    for nothing. An invalidation that Redis cannot be told of is told through the database: every hit is checked against
    the jobs that waited there before Redis was asked.
    """

    enabled = True
    backend = "redis"

    def __init__(self, client: RedisClient, *, prefix: str, ttl: float, pending: PendingInvalidations) -> None:
        self._client = client
        self._prefix = prefix
        self._ttl = round(ttl * 1000)
        self._pending = pending

    async def get(self, image_id: str) -> ImageRecord | Miss:
        fresh = secrets.token_hex(8)
        # Before Redis is: a job that is not in a list read afterwards may have gone after Redis gave the record.
        pending = await self._pending.images()
        try:
            answer = await self._client.evaluate(_GET, keys=self._keys(image_id), arguments=(fresh, TICKET_LIFE))
        except RedisUnavailableError:
            return Miss(None)
        match answer:
            case [None, bytes(value)]:
                return Miss(_ticket(value))
            case [bytes(data)]:
                record = decode(data, image_id=image_id)
                if record is not None and pending is not None and image_id not in pending:
                    return record
        return Miss(None)

    async def fill(self, image_id: str, record: ImageRecord, *, ticket: object) -> None:
        # Hidden records are for few, and it takes their delete tokens to tell who these are.
        if not isinstance(ticket, _Ticket) or record.hidden:
            return
        data = encode(record, incarnation=ticket.incarnation)
        try:
            await self._client.evaluate(_FILL, keys=self._keys(image_id), arguments=(ticket.value, data, self._ttl))
        except RedisUnavailableError:
            return  # it is a miss once more

    async def invalidate(self, image_ids: Iterable[str]) -> None:
        try:
            await self._delete(image_ids)
        except RedisUnavailableError:
            # The job that was committed with the change tells everybody.
            await asyncio.sleep(HEARD_AFTER)

    async def drop(self, image_ids: Iterable[str]) -> None:
        try:
            await self._delete(image_ids)
        except RedisUnavailableError as error:
            raise ServiceUnavailable("The cache does not answer.") from error

    async def clear(self) -> None:
        try:
            for kind in ("image", "ticket"):
                await self._delete_all(f"{self._prefix}:{kind}:*")
        except RedisUnavailableError as error:
            raise ServiceUnavailable("The cache does not answer.") from error

    async def check(self) -> bool:
        """Whether Redis answers and can be written to."""
        try:
            await self._client.check(self._prefix)
        except RedisUnavailableError:
            return False
        return True

    async def _delete(self, image_ids: Iterable[str]) -> None:
        ids = list(image_ids)
        for start in range(0, len(ids), BATCH):
            keys = [key for image_id in ids[start : start + BATCH] for key in self._keys(image_id)]
            await self._client.call("DEL", *keys)

    async def _delete_all(self, pattern: str) -> None:
        cursor: bytes | str = "0"
        while True:
            cursor, keys = await self._client.call("SCAN", cursor, "MATCH", pattern, "COUNT", BATCH)
            if keys:
                await self._client.call("DEL", *keys)
            if int(cursor) == 0:
                return

    def _keys(self, image_id: str) -> tuple[str, str]:
        record = f"{self._prefix}:image:{image_id}"
        # What stands in braces decides on the part of a cluster that a key belongs to: the same as the record's.
        return record, f"{self._prefix}:ticket:{{{record}}}"


def _ticket(value: bytes) -> _Ticket:
    text = value.decode("ascii")
    return _Ticket(text[:-16], text)
