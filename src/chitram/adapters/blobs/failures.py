"""What an operating system's refusal means to whoever uses the store."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from chitram.domain.errors import ChitramError, StorageFull, StorageUnavailable

#: No blocks, no inodes (both ENOSPC) or no quota left.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def storage_failure(error: OSError) -> ChitramError:
    """The domain's error for `error`: StorageFull when there is no room, StorageUnavailable for everything else."""
    return StorageFull() if error.errno in _FULL else StorageUnavailable()


@contextmanager
def translated() -> Iterator[None]:
    """Raise OSErrors of the block as StorageFull or StorageUnavailable; the original stays visible as the cause."""
    try:
        yield
    except OSError as error:
        raise storage_failure(error) from error
