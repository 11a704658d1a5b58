"""What is delivered to run Chitram with: it names settings that exist, hides nothing and gives nothing away."""

import configparser
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from chitram.settings import Settings
from tests.architecture.sources import ROOT
from tests.docs.env_example import render as render_env_example
from tests.docs.generate import ENV_EXAMPLE, main
from tests.docs.settings_page import schemas
from tests.services.nginx import TEMPLATE, placeholders
from tests.services.nginx import render as render_nginx

DEPLOY = ROOT / "deploy"
SETTINGS = set(schemas(Settings))
#: Options of the commands, which have variables too.
OPTIONS = {"CHITRAM_HOST", "CHITRAM_PORT", "CHITRAM_WORKERS", "CHITRAM_WORKER_METRICS"}

#: Variables of the compose files that are not ours: the image's own, by service, and those of the files themselves.
OF_IMAGES = {
    "postgres": {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD", "POSTGRES_INITDB_ARGS"},
    "minio": {"MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"},
    "redis": {"REDIS_PASSWORD"},
    "flower": {"CELERY_BROKER_URL", "FLOWER_BASIC_AUTH", "FLOWER_PERSISTENT"},
    "nginx": {"NGINX_ENVSUBST_FILTER"} | placeholders(TEMPLATE.read_text(encoding="utf-8")),
}
#: What runs our image: the server, its workers, and commands beside them.
OURS = ("app", "worker", "tools")
OF_THE_FILES = {"CHITRAM_BASE", "CHITRAM_IMAGE", "CHITRAM_TLS_DIR", "CHITRAM_ACME_DIR", "CHITRAM_BODY_LIMIT"} | {
    name for service, names in OF_IMAGES.items() if service in ("postgres", "minio", "flower") for name in names
}
SECRETS = re.compile(r"PASSWORD|SECRET|BASIC_AUTH|ACCESS_KEY|ROOT_USER")

FILES = {path.stem: path for path in (DEPLOY / "compose").glob("*.yml")}
#: What is a whole set-up by itself; the rest is laid over one of them.
WHOLE = ["services", "single"]


def compose(name: str) -> dict[str, Any]:
    return yaml.safe_load(FILES[name].read_text(encoding="utf-8"))


def services() -> list[tuple[str, str]]:
    return [(name, service) for name in WHOLE for service in compose(name)["services"]]


def interpolated(text: str) -> list[tuple[str, str]]:
    """Every variable that compose puts in, with what stands behind its name."""
    return re.findall(r"(?<!\$)\$\{([A-Za-z_]+)([^}]*)\}", text)


def test_there_are_compose_files():
    assert set(FILES) == {*WHOLE, "consoles"}


@pytest.mark.parametrize(("name", "service"), services())
def test_every_variable_that_a_service_gets_exists(name: str, service: str):
    given = set(compose(name)["services"][service].get("environment", {}))
    assert given - (SETTINGS | OPTIONS if service in OURS else OF_IMAGES[service]) == set()


@pytest.mark.parametrize("name", FILES)
def test_every_variable_that_compose_asks_for_exists(name: str):
    asked = {variable for variable, _ in interpolated(FILES[name].read_text(encoding="utf-8"))}
    assert asked - SETTINGS - OF_THE_FILES == set()


@pytest.mark.parametrize("name", WHOLE)
def test_every_setting_reaches_the_server_its_workers_and_commands(name: str):
    """By the file that holds them all; and the others see what the server sees."""
    found = compose(name)["services"]
    for service in set(OURS) & set(found):
        assert found[service]["env_file"] == "../../.env"
        assert found[service]["environment"] == found["app"]["environment"]


@pytest.mark.parametrize("name", FILES)
def test_no_secret_has_a_default(name: str):
    text = FILES[name].read_text(encoding="utf-8")
    for service in compose(name)["services"].values():
        for variable, value in service.get("environment", {}).items():
            if SECRETS.search(variable):
                assert re.fullmatch(r"\$\{[A-Z_]+:\?[^}]+\}", str(value)), variable
    required = {variable for variable, rest in interpolated(text) if rest.startswith(":?")}
    bare = {variable for variable, rest in interpolated(text) if not rest}
    assert bare <= required
    assert [
        (variable, rest) for variable, rest in interpolated(text) if rest.startswith(":-") and SECRETS.search(variable)
    ] == []


@pytest.mark.parametrize("name", WHOLE)
def test_only_the_proxy_is_reached_from_outside(name: str):
    found = compose(name)
    assert [service for service, content in found["services"].items() if "ports" in content] == ["nginx"]
    for service, content in found["services"].items():
        networks = set(content.get("networks", ()))
        assert networks or content["network_mode"] == "none"
        assert "front" not in networks or service in ("app", "nginx")
    if "back" in found["networks"]:
        assert found["networks"]["back"]["internal"] is True


def test_consoles_are_on_the_machines_own_address():
    ports = [port for content in compose("consoles")["services"].values() for port in content["ports"]]
    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize(("name", "service"), services())
def test_every_service_is_confined_and_watched(name: str, service: str):
    content = compose(name)["services"][service]
    assert content["read_only"] is True
    assert content["cap_drop"] == ["ALL"]
    assert "cap_add" not in content
    assert content["security_opt"] == ["no-new-privileges:true"]
    assert content["restart"] == "unless-stopped"
    assert "privileged" not in content
    # The server's check is part of its image, and a worker has no address.
    assert ("healthcheck" in content) is (service != "app")


@pytest.mark.parametrize(("name", "service"), services())
def test_images_are_pinned(name: str, service: str):
    image = compose(name)["services"][service]["image"]
    tag = re.sub(r"\$\{[A-Z_]+:-([^}]+)\}", r"\1", image).rpartition(":")[2]
    assert re.search(r"\d+\.\d+\.\d+|17\.\d+|RELEASE\.\d{4}-\d\d-\d\d", tag), image


@pytest.mark.parametrize("name", WHOLE)
def test_named_volumes_are_declared_and_used(name: str):
    found = compose(name)
    mounted = {volume.partition(":")[0] for s in found["services"].values() for volume in s.get("volumes", ())}
    assert {volume for volume in mounted if re.fullmatch("[a-z]+", volume)} == set(found["volumes"])


@pytest.mark.parametrize("name", WHOLE)
def test_the_proxy_gets_every_name_of_its_template_and_is_the_one_that_is_trusted(name: str):
    found = compose(name)["services"]
    given = found["nginx"]["environment"]
    assert placeholders(TEMPLATE.read_text(encoding="utf-8")) == set(given) - {"NGINX_ENVSUBST_FILTER"}
    assert found["app"]["environment"]["TRUSTED_PROXIES"] == found["nginx"]["networks"]["front"]["ipv4_address"]
    accel = found["app"]["environment"].get("X_ACCEL_PREFIX")
    assert accel is None or accel == given["CHITRAM_ACCEL_PREFIX"]


@pytest.mark.parametrize("name", WHOLE)
def test_the_proxy_sees_the_store_and_nothing_else_of_ours(name: str):
    """No secret and no database: it is what strangers speak to."""
    found = compose(name)["services"]
    settings, given = found["app"]["environment"], found["nginx"]["environment"]
    ours = {volume.partition(":")[0]: volume for volume in found["app"]["volumes"]}
    seen = [volume for volume in found["nginx"]["volumes"] if volume.partition(":")[0] in ours]
    assert all(volume.endswith(":ro") for volume in found["nginx"]["volumes"])
    if "X_ACCEL_PREFIX" not in settings:
        assert seen == []
        return
    assert settings["LOCAL_STORAGE_PATH"] == given["CHITRAM_STORAGE"]
    assert seen == [f"store:{given['CHITRAM_STORAGE']}:ro"]
    assert ours["store"] == f"store:{given['CHITRAM_STORAGE']}"
    # A new volume has the rights of the directory in the image that it is laid over.
    image = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    (made,) = re.findall(r"install -d -o 10001 -g 10001 -m 0750 (.+)$", image, re.MULTILINE)
    assert {volume.partition(":")[2] for volume in found["app"]["volumes"]} <= set(made.split())


@pytest.mark.parametrize("name", WHOLE)
def test_commands_have_what_the_server_has_and_run_beside_it(name: str):
    """`up` never starts them, and they ask for no address that the server holds."""
    found = compose(name)["services"]
    tools = found["tools"]
    assert tools["profiles"] == ["tools"]
    assert tools["volumes"] == found["app"]["volumes"]
    assert tools["image"] == found["app"]["image"]
    assert "ipv4_address" not in str(tools.get("networks"))
    assert tools.get("depends_on") == found["app"].get("depends_on")


@pytest.mark.parametrize("name", WHOLE)
def test_certificates_can_be_renewed(name: str):
    """What the client for certificates leaves on the machine is where nginx looks, and not in memory."""
    nginx = compose(name)["services"]["nginx"]
    place = nginx["environment"]["CHITRAM_ACME_DIR"]
    assert f"${{CHITRAM_ACME_DIR:-/var/www/acme}}:{place}:ro" in nginx["volumes"]
    assert [mount for mount in nginx["tmpfs"] if place.startswith(mount.partition(":")[0] + "/")] == []


@pytest.mark.parametrize("page", ["install-without-containers.md", "run-in-production.md"])
def test_settings_are_for_the_service_alone(page: str):
    """nginx's user is in the service's group, and must not read secrets."""
    text = (ROOT / "docs/how-to" / page).read_text(encoding="utf-8")
    assert "chown chitram: .env\nchmod 0400 .env\n" in text


@pytest.mark.parametrize("page", ["run-with-containers.md", "upgrade.md"])
def test_commands_of_the_pages_name_services_that_are_there(page: str):
    text = (ROOT / "docs/how-to" / page).read_text(encoding="utf-8").replace("\\\n", " ")
    commands = re.findall(r"docker compose --env-file \.env -f deploy/compose/(\w+)\.yml (?:exec|run) (.+)", text)
    assert commands
    for name, rest in commands:
        words = iter(rest.split())
        service = next(word for word in words if not word.startswith("-") and "/" not in word)
        assert service in compose(name)["services"], rest


def test_the_example_of_settings_is_up_to_date():
    assert ENV_EXAMPLE.read_text(encoding="utf-8") == render_env_example(), "run `make docs`"


def test_the_example_of_settings_names_every_variable_and_sets_none(tmp_path: Path):
    text = ENV_EXAMPLE.read_text(encoding="utf-8")
    assert set(re.findall(r"^#([A-Z0-9_]+)=", text, re.MULTILINE)) >= SETTINGS | {
        name for name in OF_THE_FILES if SECRETS.search(name)
    }
    assert re.findall(r"^[A-Z0-9_]+=", text, re.MULTILINE) == []
    again = tmp_path / "example"
    main(tmp_path, again)
    assert again.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(("unit", "command"), [("chitram.service", "serve"), ("chitram-worker.service", "worker")])
def test_units_are_hardened(unit: str, command: str):
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read_string((DEPLOY / "systemd" / unit).read_text(encoding="utf-8"))
    service = parser["Service"]
    assert service["ExecStart"].endswith(f"/bin/chitram {command}")
    wanted = {
        "User": "chitram", "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes",
        "PrivateTmp": "yes",
        "PrivateDevices": "yes", "RestrictNamespaces": "yes", "RestrictSUIDSGID": "yes", "LockPersonality": "yes",
        "CapabilityBoundingSet": "", "AmbientCapabilities": "", "StateDirectory": "chitram", "UMask": "0027",
        "RestartPreventExitStatus": "2",
    }  # fmt: skip
    assert {name: service.get(name) for name in wanted} == wanted
    assert int(service["TimeoutStopSec"]) > 40
    assert service["Environment"] == f"DATA_DIR=/var/lib/{service['StateDirectory']}"


def test_the_proxy_believes_nobody_and_keeps_nothing_by_itself():
    text = TEMPLATE.read_text(encoding="utf-8")
    directives = re.sub(r"#.*", "", text)
    assert "proxy_add_x_forwarded_for" not in directives
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in directives
    assert "proxy_cache_valid" not in directives
    assert "proxy_ignore_headers Cache-Control Expires;" in directives
    assert "proxy_cache_use_stale off;" in directives
    assert "proxy_cache_background_update off;" in directives
    assert "proxy_cache_revalidate off;" in directives
    assert directives.count("server_tokens off;") == directives.count("\nserver {")
    assert directives.count("ssl_protocols TLSv1.2 TLSv1.3;") == directives.count(" ssl http2")
    # One location alone sends files, and only for the server.
    (files,) = [part for part in directives.split(" location ") if "alias " in part]
    assert "internal;" in files


def test_the_rendered_example_is_that_of_the_template():
    example = (DEPLOY / "nginx/chitram.conf.example").read_text(encoding="utf-8")
    head, _, body = example.partition("\n\n")
    values = dict(re.findall(r"^#   ([A-Z_]+)=(.*)$", head, re.MULTILINE))
    assert body == render_nginx(TEMPLATE.read_text(encoding="utf-8"), values)


def test_the_image_is_made_of_what_is_locked_and_runs_as_nobody():
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert text.count("FROM ${BASE}") == 2
    assert re.search(r"^ARG BASE=python:3\.\d+-slim-\w+$", text, re.MULTILINE)
    installs = re.findall(r"pip (?:install|wheel)[^&\n]*(?:\\\n[^&\n]*)*", text)
    assert len(installs) >= 3
    assert [i for i in installs if "requirements/" in i and "--require-hashes" not in i] == []
    last = text.rpartition("FROM ${BASE}")[2]
    assert "USER 10001:10001" in last
    assert "pip" not in last
    assert "apt-get" not in last
    assert "HEALTHCHECK" in last
    assert 'CMD ["chitram", "serve", "--host", "0.0.0.0"]' in last


def test_what_goes_into_the_image_is_listed():
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in lines
    listed = {line[1:] for line in lines if line.startswith("!")}
    assert [name for name in listed if not (ROOT / name).exists()] == []
    copied = set(re.findall(r"^COPY (?!--)(.+) \S+$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE))
    assert {name for line in copied for name in line.split()} == listed


def test_the_development_container_makes_itself():
    content = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    assert content["postCreateCommand"] == "make setup-dev"
    assert content["forwardPorts"] == [8000]
