"""Cut the power of a mounted ext4 or XFS: nothing reaches its disk any more, not even its journal.

python -m tests.faults.powercut.godown MOUNT_POINT
"""

import fcntl
import os
import struct
import sys

#: FS_IOC_SHUTDOWN of Linux, and its flag "do not even flush the log".
SHUTDOWN = 0x8004587D
WITHOUT_LOG_FLUSH = 2


def cut_power(mount_point: str) -> None:
    fd = os.open(mount_point, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(fd, SHUTDOWN, struct.pack("I", WITHOUT_LOG_FLUSH))
    finally:
        os.close(fd)


if __name__ == "__main__":
    cut_power(sys.argv[1])
