"""What makes pictures out of bytes, as the settings say."""

import os
from contextlib import AsyncExitStack

from chitram.adapters.codec.sandbox import SandboxedCodec
from chitram.domain.media import Budget
from chitram.observability import Metrics
from chitram.settings import MEBIBYTE, Settings


def budget_of(settings: Settings) -> Budget:
    """What an upload may cost."""
    uploads = settings.uploads
    return Budget(
        content_types=frozenset(uploads.allowed_content_types),
        max_pixels=uploads.max_pixels,
        max_frames=uploads.max_frames,
        max_total_pixels=uploads.max_total_pixels,
    )


async def start_codec(settings: Settings, stack: AsyncExitStack, *, metrics: Metrics, workers: int) -> SandboxedCodec:
    """The decode sandbox with so many processes; 0: as many as there are cores."""
    decode = settings.decode
    codec = await SandboxedCodec.start(
        workers=workers or os.cpu_count() or 1,
        memory_bytes=decode.memory_mb * MEBIBYTE,
        cpu_seconds=decode.cpu_seconds,
        wall_seconds=decode.timeout,
        recycle_after=decode.recycle_after,
        strip_metadata=settings.uploads.strip_metadata,
    )
    stack.push_async_callback(codec.aclose)
    metrics.watch_codec(codec.stats)
    return codec
