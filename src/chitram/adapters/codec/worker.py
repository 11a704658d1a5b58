"""A decoding process: takes one file after the other from its channel until that closes."""

import os
import signal
import socket
from collections.abc import Callable, Mapping
from typing import Any

from chitram.adapters.codec.confinement import confine, grant_cpu, release_memory
from chitram.adapters.codec.wire import MAX_MESSAGE, Reply, frame_reply, receive_request
from chitram.domain.errors import InvalidFileFormat

Jobs = Mapping[str, Callable[[int, Mapping[str, Any]], Reply]]
_CHANNEL = 3


def run(channel: socket.socket, *, parent: int, jobs: Jobs, memory_bytes: int, cpu_seconds: float) -> None:
    """Confine this process and serve `channel` until the other side closes it, or an unexpected failure."""
    channel = _keep_only(channel)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    missing = confine(parent=parent, memory_bytes=memory_bytes)
    channel.sendall(frame_reply({"missing": missing}))
    while (request := receive_request(channel)) is not None:
        name, arguments, fd = request
        grant_cpu(cpu_seconds)
        try:
            reply, healthy = _perform(jobs[name], fd=fd, arguments=arguments)
        finally:
            os.close(fd)
        channel.sendall(reply)
        if not healthy:
            return
        # The answer is out: this costs nobody any waiting.
        release_memory()


def _perform(
    job: Callable[[int, Mapping[str, Any]], Reply], *, fd: int, arguments: Mapping[str, Any]
) -> tuple[bytes, bool]:
    """The reply, and whether this process can be trusted with another file."""
    try:
        reply = job(fd, arguments)
    except InvalidFileFormat as refusal:
        return frame_reply({"refused": refusal.reason, "message": refusal.message}), True
    except BaseException as failure:  # noqa: BLE001 -- whatever hostile bytes bring about must cost this process at most
        return frame_reply({"failed": f"{type(failure).__name__}: {failure}"[:MAX_MESSAGE]}), False
    return frame_reply({"result": reply.result}, blobs=reply.blobs), True


def _keep_only(channel: socket.socket) -> socket.socket:
    """Close every descriptor but the channel's; the standard ones lead nowhere."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.dup2(channel.detach(), _CHANNEL, inheritable=False)
    os.closerange(_CHANNEL + 1, os.sysconf("SC_OPEN_MAX"))
    return socket.socket(fileno=_CHANNEL)
