"""Uploads in parts that were begun and not finished: they cost room and show in no list of objects."""

import asyncio
import http.client
import logging
from collections.abc import Iterable
from datetime import datetime

from chitram.adapters.blobs.s3_client import S3Bucket
from chitram.adapters.blobs.s3_requests import S3Answer, S3Requests

_PATIENCE = 5.0
#: When a failed attempt to abort is repeated, in seconds.
_PAUSES = (0.5, 2.0, 10.0, 60.0, 300.0)

logger = logging.getLogger(__name__)


class OpenUploads:
    """Aborts uploads in parts, in the background."""

    def __init__(self, requests: S3Requests, bucket: S3Bucket) -> None:
        self._requests = requests
        self._bucket = bucket
        self._tasks: set[asyncio.Task[None]] = set()

    def abort(self, key: str) -> None:
        """Abort whatever was begun under `key`, now or as soon as the service answers."""
        task = asyncio.create_task(self._abort_until_done(key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def abort_older(self, *, begun_before: datetime) -> int:
        """Abort what processes that are gone have left behind; how many. A failure leaves it for the next start."""
        try:
            return await asyncio.to_thread(self._abort_listed, "", begun_before=begun_before)
        except (OSError, http.client.HTTPException):
            logger.warning("uploads that were never finished could not be looked for", exc_info=True)
            return 0

    async def aclose(self) -> None:
        """Try no more; the next start looks for what is left."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _abort_until_done(self, key: str) -> None:
        for pause in _PAUSES:
            try:
                await asyncio.to_thread(self._abort_listed, key, only=key)
            except (OSError, http.client.HTTPException):
                await asyncio.sleep(pause)
            else:
                return
        logger.warning("an upload that was never finished could not be aborted: %s", key)

    def _abort_listed(self, prefix: str, *, only: str | None = None, begun_before: datetime | None = None) -> int:
        listed = self._send("GET", self._bucket.path(), query={"uploads": "", "prefix": prefix})
        aborted = 0
        for key, upload, begun in _listed(listed):
            if only in (None, key) and (begun_before is None or begun < begun_before):
                self._send("DELETE", self._bucket.path(key), query={"uploadId": upload})
                aborted += 1
        return aborted

    def _send(self, method: str, path: str, *, query: dict[str, str]) -> S3Answer:
        answer = self._requests.send(method, path, patience=_PATIENCE, query=query)
        # 404: it is gone, which is what we want.
        if answer.status >= 300 and answer.status != 404:
            raise OSError(f"{answer.status} {answer.code}")
        return answer


def _listed(answer: S3Answer) -> Iterable[tuple[str, str, datetime]]:
    """Key, upload id and begin of each upload of a list. The first thousand are enough: the next start has the rest."""
    for upload in answer.body.split("<Upload>")[1:]:
        part = S3Answer(answer.status, upload)
        fields = [part.first(name) for name in ("Key", "UploadId", "Initiated")]
        if all(fields):
            yield fields[0], fields[1], datetime.fromisoformat(fields[2])
