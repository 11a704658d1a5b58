"""The container image, really built and run: by podman, on a base of Debian's own, without any registry."""

import configparser
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import chitram
from tests.architecture.sources import ROOT
from tests.factories.pictures import jpeg
from tests.services.packages import SEARCH_PATH
from tests.services.processes import free_port

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]

BASE, IMAGE = "localhost/chitram-test-base:12", "localhost/chitram-test:built"
CONTENT = ("python3", "python3-venv", "ca-certificates")
PATIENCE = 60.0
#: What containers need where there is neither systemd nor a unified cgroup hierarchy.
CONTAINERS = """[containers]
default_ulimits = []
netns = "host"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


class Podman:
    """podman with configuration and storage of its own, so that what is on the machine stays untouched."""

    def __init__(self, directory: Path) -> None:
        configuration = directory / "containers.conf"
        configuration.write_text(CONTAINERS, encoding="utf-8")
        self._environment = {
            **os.environ,
            "CONTAINERS_CONF": str(configuration),
            "PATH": SEARCH_PATH,
            "TMPDIR": str(directory),
        }
        program = shutil.which("podman", path=SEARCH_PATH)
        assert program is not None, "podman is missing: CHITRAM_SOAK=1 make packages"
        self._command = [program, "--root", str(directory / "storage"), "--runroot", str(directory / "run")]

    def __call__(self, *arguments: str, check: bool = True) -> str:
        answer = subprocess.run(
            [*self._command, *arguments], env=self._environment, capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0 or not check, f"podman {' '.join(arguments)}:\n{answer.stdout}\n{answer.stderr}"
        return answer.stdout + answer.stderr


def mirror() -> str:
    """The Debian mirror that this machine has its packages from."""
    answer = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE)|$(ORIGIN)"], capture_output=True, text=True, check=True
    )
    sites = [line.partition("|")[0] for line in answer.stdout.splitlines() if line.endswith("|Debian")]
    assert sites, "apt knows no Debian mirror"
    return next((site for site in sites if "security" not in site), sites[0])


def make_base(podman: Podman, directory: Path) -> None:
    """Debian with Python, and with what this machine trusts, as an image."""
    root = directory / "rootfs"
    subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={','.join(CONTENT)}", "bookworm", root, mirror()],
        check=True, capture_output=True, env={**os.environ, "PATH": SEARCH_PATH},
    )  # fmt: skip
    archive = directory / "base.tar"
    subprocess.run(["tar", "-C", root, "-cf", archive, "."], check=True)
    shutil.rmtree(root)
    podman("import", str(archive), BASE)
    archive.unlink()


def build_arguments(directory: Path) -> list[str]:
    """What has pip find packages in the build as it does here, certificates included. Nothing of it stays behind."""
    given = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    parser = configparser.ConfigParser(interpolation=None)
    parser.read("/etc/pip.conf")
    if not parser.has_section("global"):
        parser.add_section("global")
    for name, value in given.items():
        parser.set("global", name.removeprefix("PIP_").lower().replace("_", "-"), value)
    configuration = directory / "pip.conf"
    with configuration.open("w", encoding="utf-8") as file:
        parser.write(file)
    folders = {Path(value) for value in given.values() if value.startswith("/") and Path(value).exists()}
    mounts = [f"{configuration}:/etc/pip.conf:ro", *(f"{folder}:{folder}:ro" for folder in sorted(folders))]
    return [argument for mount in mounts for argument in ("--volume", mount)]


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    directory = tmp_path_factory.mktemp("podman")
    podman = Podman(directory)
    try:
        yield podman
    finally:
        podman("rm", "--all", "--force", "--time", "5", check=False)
        podman("rmi", "--all", "--force", check=False)
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def image(podman: Podman, tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("base")
    make_base(podman, directory)
    podman(
        "build", "--isolation", "chroot", "--network", "host", "--format", "docker", "--build-arg", f"BASE={BASE}",
        "--build-arg", f"VERSION={chitram.__version__}", *build_arguments(directory), "--tag", IMAGE, str(ROOT),
    )  # fmt: skip
    return IMAGE


@pytest.fixture
def container(podman: Podman, image: str, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Name and address of a container that runs as the delivered set-ups run it."""
    port, data = free_port(), tmp_path / "data"
    data.mkdir()
    os.chown(data, 10001, 10001)
    name = f"chitram-test-{port}"
    podman(
        "run", "--detach", "--name", name, "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL",
        "--security-opt", "no-new-privileges", "--memory", "2g", "--network", "host", "--volume", f"{data}:/data",
        "--env", f"CHITRAM_PORT={port}", "--env", "APP_ENV=production", "--env", "ALLOWED_HOSTS=127.0.0.1",
        "--health-cmd", health_command(port), image, "chitram", "serve", "--host", "127.0.0.1",
    )  # fmt: skip
    try:
        yield name, f"http://127.0.0.1:{port}"
    finally:
        podman("rm", "--force", "--time", "20", name, check=False)


def health_command(port: int) -> str:
    """The image's own check, at another port: here the container shares the machine's network."""
    found = re.search(r"CMD (\[\"python3\".+\])$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    return json.dumps([part.replace(":8000/", f":{port}/") for part in json.loads(found.group(1))])


def wait_until_healthy(podman: Podman, name: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while "unhealthy" in (said := podman("healthcheck", "run", name, check=False)) or "rror" in said:
        assert time.monotonic() < deadline, podman("logs", name, check=False)
        time.sleep(0.5)


def test_the_image_serves_from_upload_to_deletion(podman: Podman, container: tuple[str, str], proof):
    name, url = container
    wait_until_healthy(podman, name)
    picture = jpeg(640, 480)
    with httpx.Client(base_url=url, timeout=30) as client:
        made = client.post("/api/v1/images/upload", files={"file": ("a.jpg", picture)}).json()
        assert made["thumbnail_ready"] is True
        assert client.get(f"/i/{made['id']}.jpg").status_code == 200
        thumbnail = client.get(f"/i/{made['id']}/300.jpg")
        assert (thumbnail.status_code, thumbnail.headers["content-type"]) == (200, "image/jpeg")
        gone = client.delete(f"/api/v1/images/{made['id']}", headers={"X-Delete-Token": made["delete_token"]})
        assert gone.status_code == 204
        assert client.get(f"/i/{made['id']}.jpg").status_code == 404
    assert podman("exec", name, "id", "-u").strip() == "10001"
    assert "Read-only file system" in podman("exec", name, "touch", "/opt/chitram/x", check=False)
    assert podman("exec", name, "sh", "-c", "touch /data/x && rm /data/x && echo done").strip() == "done"
    proof.record("Container", "built from locks, run read-only and as nobody: upload, thumbnail, deletion", "1 run")


def test_the_image_has_no_build_tools_and_no_secrets(podman: Podman, image: str):
    content = podman("run", "--rm", "--network", "none", image, "python3", "-c", (
        "import importlib.util as u; print([n for n in ('pip','setuptools','hatchling','uv') if u.find_spec(n)])"
    ))  # fmt: skip
    assert "[]" in content.splitlines()
    inspected = json.loads(podman("inspect", image))[0]
    assert inspected["User"] == "10001:10001"
    assert inspected["Labels"]["org.opencontainers.image.version"] == chitram.__version__
    assert [variable for variable in inspected["Config"]["Env"] if re.search("SECRET|PASSWORD|PIP_", variable)] == []
    assert (inspected.get("Healthcheck") or inspected["HealthCheck"])["Test"][0] == "CMD"


def test_it_stops_when_it_is_told(podman: Podman, container: tuple[str, str]):
    name, _ = container
    wait_until_healthy(podman, name)
    podman("stop", "--time", "45", name)
    status = json.loads(podman("inspect", name))[0]["State"]["ExitCode"]
    assert status in (0, 143)
