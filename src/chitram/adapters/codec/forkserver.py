"""The process that decoding processes are forked from: small, single-threaded, with the imaging libraries loaded.

    python -m chitram.adapters.codec.forkserver CONTROL JOBS MEMORY_BYTES CPU_SECONDS

CONTROL is the descriptor of a socket that keeps message boundaries. In come `{"spawn": id}` with the channel of a new
process, and `{"kill": id}`; out go `{"exited": id, "status": s}`, s as in os.waitstatus_to_exitcode. When the socket
closes, whether its other end meant to or died, everything below ends with this process.
"""

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from dataclasses import dataclass, field

from chitram.adapters.codec import worker

_MESSAGE = 4096


@dataclass(slots=True)
class _Server:
    control: socket.socket
    jobs: worker.Jobs
    memory_bytes: int
    cpu_seconds: float
    pids: dict[int, int] = field(default_factory=dict)  # id of a worker → its process

    def handle_message(self) -> bool:
        """Do what the next message asks; False when there will be no more."""
        data, fds, _, _ = socket.recv_fds(self.control, _MESSAGE, 1)
        if not data:
            return False
        message = json.loads(data)
        if "spawn" in message:
            self._spawn(message["spawn"], channel=socket.socket(fileno=fds[0]))
        elif (pid := self.pids.get(message["kill"])) is not None:
            # Not reaped yet, so the number cannot be somebody else's.
            os.kill(pid, signal.SIGKILL)
        return True

    def reap(self) -> None:
        """Report every child that has ended."""
        while self.pids:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            for number in [n for n, p in self.pids.items() if p == pid]:
                del self.pids[number]
                self._say({"exited": number, "status": os.waitstatus_to_exitcode(status)})

    def _spawn(self, number: int, *, channel: socket.socket) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid:
            channel.close()
            self.pids[number] = pid
            return
        status = 1
        try:
            worker.run(
                channel, parent=parent, jobs=self.jobs, memory_bytes=self.memory_bytes, cpu_seconds=self.cpu_seconds
            )
            status = 0
        finally:
            # Never back into the loop of the parent, whatever happens.
            os._exit(status)

    def _say(self, message: dict[str, int]) -> None:
        with contextlib.suppress(OSError):
            self.control.send(json.dumps(message).encode())


def serve(control: socket.socket, *, jobs: str, memory_bytes: int, cpu_seconds: float) -> None:
    """Fork decoding processes on demand until `control` closes. `jobs`: the module with their `JOBS` and `preload`."""
    module = importlib.import_module(jobs)
    module.preload()
    # What is loaded now is shared by all children as long as the collector does not touch it.
    gc.disable()
    gc.collect()
    gc.freeze()
    wake_receive, wake_send = socket.socketpair()
    wake_receive.setblocking(False)
    wake_send.setblocking(False)
    signal.set_wakeup_fd(wake_send.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    server = _Server(control, module.JOBS, memory_bytes, cpu_seconds)
    try:
        while True:
            readable, _, _ = select.select([control, wake_receive], [], [])
            if wake_receive in readable:
                wake_receive.recv(4096)
            server.reap()
            if control in readable and not server.handle_message():
                return
    except ConnectionError:
        return
    finally:
        # The socket goes with this frame, and the children's deaths are still to be signalled.
        signal.set_wakeup_fd(-1)
        for pid in server.pids.values():
            os.kill(pid, signal.SIGKILL)


def main(arguments: list[str]) -> None:
    """Entry point; see the top of this file."""
    control, jobs, memory_bytes, cpu_seconds = arguments
    os.chdir("/")
    with socket.socket(fileno=int(control)) as channel:
        serve(channel, jobs=jobs, memory_bytes=int(memory_bytes), cpu_seconds=float(cpu_seconds))


if __name__ == "__main__":
    main(sys.argv[1:])
