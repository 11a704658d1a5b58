"""See to it that the Debian packages which the tests drive are there.

Run by `make test` and `make soak` before anything else; needs nothing but Python. As root on a machine with apt-get it
installs what is missing; otherwise it ends with exit status 1 and names the packages. A test that needs a tool fails
without it: nothing is skipped.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

#: Command, or a file's path → the Debian package that brings it, and what the tests do with it.
NEEDED: dict[str, tuple[str, str]] = {
    "curl": ("curl", "a client that is not ours, and the commands of the documentation"),
    "strace": ("strace", "order of fsync and rename, failing system calls"),
    "exiftool": ("libimage-exiftool-perl", "a second opinion on removed metadata"),
    "mkfs.ext4": ("e2fsprogs", "small disks that run full, power cuts"),
    "sqlite3": ("sqlite3", "the backup as the documentation makes it"),
    "nginx": ("nginx", "the delivered proxy configuration, in front of a real server"),
    "/usr/lib/nginx/modules/ngx_http_brotli_filter_module.so": (
        "libnginx-mod-http-brotli-filter",
        "the proxy's better compression",
    ),
    "openssl": ("openssl", "certificates and handshakes of the proxy's tests"),
    "chromium-headless-shell": ("chromium-headless-shell", "the pages, as people see and use them"),
}

#: What `make soak` needs besides, and says by CHITRAM_SOAK=1.
FOR_SOAK: dict[str, tuple[str, str]] = {
    "chromium": ("chromium", "the browser that Lighthouse starts"),
    "node": ("nodejs", "Lighthouse, which judges the pages"),
    "npm": ("npm", "Lighthouse is installed by it"),
    "podman": ("podman", "the container image, built and run"),
    "buildah": ("buildah", "podman builds with it"),
    "runc": ("runc", "podman runs containers with it"),
    "debootstrap": ("debootstrap", "the base of the container image, without any registry"),
}

#: Where Debian keeps what an ordinary user's PATH may leave out.
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def missing(needed: dict[str, tuple[str, str]] = NEEDED, *, path: str = SEARCH_PATH) -> list[str]:
    """The packages whose command is not found on `path`, or whose file is not there."""
    return [package for wanted, (package, _) in needed.items() if not _is_there(wanted, path)]


def _is_there(wanted: str, path: str) -> bool:
    return Path(wanted).exists() if wanted.startswith("/") else shutil.which(wanted, path=path) is not None


def explain(packages: list[str]) -> str:
    """What to tell somebody who has to install `packages` by hand."""
    uses = dict((NEEDED | FOR_SOAK).values())
    lines = [f"  {package}: {uses.get(package, 'used by the tests')}" for package in packages]
    return "\n".join(["These Debian packages are missing:", *lines, f"As root: apt-get install {' '.join(packages)}"])


def install(packages: list[str]) -> None:
    """Install `packages` with apt-get; needs root. Raises CalledProcessError."""
    apt = ["apt-get", "-qq", "-o", "Dpkg::Use-Pty=0"]
    # In runlevel 1 no package starts the service that it brings.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    subprocess.run([*apt, "update"], check=True, env=environment, stdout=sys.stderr)
    subprocess.run(
        [*apt, "install", "-y", "--no-install-recommends", *packages], check=True, env=environment, stdout=sys.stderr
    )


def main() -> int:
    """Exit status: 0 when everything is there, 1 when something is missing and could not be installed."""
    needed = NEEDED | (FOR_SOAK if os.environ.get("CHITRAM_SOAK") == "1" else {})
    packages = missing(needed)
    if not packages:
        return 0
    if os.geteuid() == 0 and shutil.which("apt-get"):
        try:
            install(packages)
        except subprocess.CalledProcessError as error:
            print(f"apt-get ended with status {error.returncode}.", file=sys.stderr)
        packages = missing(needed)
    if packages:
        print(explain(packages), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
