"""The pages about accounts do what they say: their commands and programs are run as they stand."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.docs.commands import SHOWN, blocks, shell
from tests.docs.lossy import losing_the_first_answer
from tests.factories import pictures
from tests.factories.servers import UNLIMITED, Server, clean_environment, running_server

pytestmark = pytest.mark.slow

PASSWORD = "correct horse"
CHEAP = {"BCRYPT_ROUNDS": "4"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("accounts"), **UNLIMITED, **CHEAP) as running:
        (running.directory / "photo.jpg").write_bytes(pictures.jpeg(400, 300))
        yield running


@pytest.fixture
def by_invitation(tmp_path: Path) -> Iterator[Server]:
    with running_server(tmp_path, **UNLIMITED, **CHEAP, REGISTRATION="invite") as running:
        yield running


def run(server: Server, script: str, **filled: str) -> str:
    """Run `script` against `server`; what is `filled` in is a variable, or stands in place of `"name": "…"`."""
    for name, value in filled.items():
        script = script.replace(f'"{name}": "…"', f'"{name}": "{value}"').replace(f"{name}=…", f"{name}={value}")
    script = script.replace(SHOWN, server.url).replace(".venv/bin/chitram", installed())
    variables = {name: value for name, value in filled.items() if name.isupper()}
    environment = clean_environment(DATA_DIR=str(server.data), **CHEAP, **variables)
    return shell(script, directory=server.directory, environment=environment)


def installed() -> str:
    """The `chitram` that stands beside the interpreter."""
    return str(Path(sys.executable).with_name("chitram"))


def command_with(page: str, text: str) -> str:
    """The one block of `page` that contains `text`."""
    (found,) = [block for block in blocks(page) if text in block]
    return found


def register(server: Server, email: str) -> str:
    """A new account's access token."""
    account = {"email": email, "password": PASSWORD}
    answer = httpx.post(f"{server.url}/api/v1/auth/register", json=account).raise_for_status()
    return str(answer.json()["access_token"])


def sign_in(server: Server, email: str, password: str = PASSWORD, *, address: str = "127.0.0.1") -> httpx.Response:
    with httpx.Client(transport=httpx.HTTPTransport(local_address=address)) as client:
        return client.post(f"{server.url}/api/v1/auth/login", json={"email": email, "password": password})


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


# ------------------------------------------------------------------------------------------------ how-to/accounts.md

ACCOUNTS = "how-to/accounts.md"


def users(server: Server) -> dict[str, Any]:
    found = json.loads(run(server, ".venv/bin/chitram admin users --json"))
    return {user["email"]: user for user in found}


def test_the_first_admin(by_invitation: Server):
    prepare, piped = blocks(ACCOUNTS)[:2]
    migrate, create = prepare.splitlines()
    assert run(by_invitation, migrate).strip() == run(by_invitation, ".venv/bin/chitram migrate --show").strip()
    assert f"{create} --password-stdin" in piped
    run(by_invitation, piped, PASSWORD=PASSWORD)
    assert users(by_invitation)["you@example.org"]["role"] == "admin"
    assert sign_in(by_invitation, "you@example.org").status_code == 200


def test_an_invitation(by_invitation: Server):
    code = run(by_invitation, command_with(ACCOUNTS, "admin invite")).strip()
    script = command_with(ACCOUNTS, "/auth/register")
    assert json.loads(run(by_invitation, script, password=PASSWORD, invite=code))["user"]["email"] == "ann@example.org"
    with pytest.raises(subprocess.CalledProcessError) as refused:
        run(by_invitation, script.replace("ann@", "eve@"), password=PASSWORD, invite=code)
    assert "403" in refused.value.stderr


def test_claiming_an_image(server: Server):
    image = httpx.post(f"{server.url}/api/v1/images/upload", files={"file": pictures.jpeg(30, 20)}).json()
    token = register(server, "claimer@example.org")
    script = command_with(ACCOUNTS, "/claim").replace("Token: …", f"Token: {image['delete_token']}")
    assert json.loads(run(server, script, TOKEN=token, ID=image["id"]))["id"] == image["id"]
    owned = httpx.get(f"{server.url}/api/v1/users/me/images", headers=bearer(token)).json()["items"]
    assert [each["id"] for each in owned] == [image["id"]]


def test_a_quota_and_the_table_of_accounts(by_invitation: Server):
    run(by_invitation, blocks(ACCOUNTS)[1].replace("you@", "ann@"), PASSWORD=PASSWORD)
    own, default = command_with(ACCOUNTS, "--default").splitlines()
    run(by_invitation, own)
    ann = users(by_invitation)["ann@example.org"]
    assert (ann["quota_bytes"], ann["quota_files"]) == (2000 * 1024 * 1024, 5000)
    table, listing = command_with(ACCOUNTS, "--json").splitlines()
    assert run(by_invitation, table).splitlines()[1].split()[3:7] == ["0", "5000", "0.0", "2000"]
    assert len(json.loads(run(by_invitation, listing))) == 1
    run(by_invitation, default)
    assert users(by_invitation)["ann@example.org"]["quota_files"] is None


def test_a_forgotten_password_and_a_closed_account(server: Server):
    token = register(server, "ann@example.org")
    reset = command_with(ACCOUNTS, "reset-password").strip()
    run(server, f"printf 'battery staple\\n' | {reset} --password-stdin")
    assert httpx.get(f"{server.url}/api/v1/auth/me", headers=bearer(token)).status_code == 401
    assert sign_in(server, "ann@example.org").status_code == 401
    token = sign_in(server, "ann@example.org", "battery staple").json()["access_token"]
    run(server, command_with(ACCOUNTS, "deactivate"))
    assert httpx.get(f"{server.url}/api/v1/auth/me", headers=bearer(token)).status_code == 401
    assert sign_in(server, "ann@example.org", "battery staple").status_code == 401
    run(server, ".venv/bin/chitram admin activate ann@example.org")
    assert sign_in(server, "ann@example.org", "battery staple").status_code == 200


def test_deleting_an_account_and_leaving_its_images(server: Server):
    token = register(server, "leaver@example.org")
    kept, hidden = (
        httpx.post(
            f"{server.url}/api/v1/images/upload",
            files={"file": pictures.jpeg(31, 20)}, data={"visibility": visibility}, headers=bearer(token),
        ).json()
        for visibility in ("unlisted", "private")
    )  # fmt: skip
    run(server, command_with(ACCOUNTS, '"images": "keep"'), TOKEN=token, password=PASSWORD)
    assert sign_in(server, "leaver@example.org").status_code == 401
    assert httpx.get(kept["url"]).status_code == 200
    assert httpx.get(hidden["url"]).status_code == 404
    assert httpx.delete(f"{server.url}/api/v1/images/{kept['id']}").status_code == 403


# ---------------------------------------------------------------------------------------------- how-to/api-tokens.md

TOKENS = "how-to/api-tokens.md"


def test_an_api_token_from_its_making_to_its_end(server: Server):
    register(server, "maker@example.org")
    login, make, upload, from_file, listing, revoke = blocks(TOKENS)
    login = login.replace("ann@", "maker@")
    access = json.loads(run(server, login, password=PASSWORD))["access_token"]
    made = json.loads(run(server, make, TOKEN=access))
    assert re.fullmatch(r"chitram_[\w-]{43}", made["token"])
    first, second = map(json.loads, re.findall(r"\{.*?\}(?=\{|$)", run(server, upload, TOKEN=made["token"])))
    assert (first["delete_token"], second["visibility"], second["duplicate_of"]) == (None, "private", first["id"])
    third = json.loads(run(server, from_file, TOKEN=made["token"]))
    assert third["duplicate_of"] == first["id"]
    assert (server.directory / "chitram.header").stat().st_mode & 0o077 == 0
    (listed,) = json.loads(run(server, listing, TOKEN=access))["items"]
    assert (listed["id"], listed["name"], "token" in listed) == (made["id"], "laptop", False)
    run(server, revoke, TOKEN=access, ID=made["id"])
    with pytest.raises(subprocess.CalledProcessError) as refused:
        run(server, from_file, TOKEN=made["token"])
    assert "401" in refused.value.stderr


def test_sharex_with_a_token(server: Server):
    """The file is followed as ShareX does."""
    token = api_token(server, "sharex@example.org", scopes=["upload"])
    (text,) = blocks(TOKENS, language="json")
    uploader = json.loads(text.replace(SHOWN, server.url).replace("chitram_…", token))
    answer = httpx.request(
        uploader["RequestMethod"],
        uploader["RequestURL"],
        files={uploader["FileFormName"]: pictures.jpeg(32, 20)},
        headers=uploader["Headers"],
    )
    assert answer.status_code == 201
    assert answer.json()["delete_token"] is None
    assert httpx.get(answer.json()[uploader["URL"].removeprefix("{json:").removesuffix("}")]).status_code == 200


def api_token(server: Server, email: str, *, scopes: list[str]) -> str:
    wanted = {"name": "program", "scopes": scopes, "expires_at": None}
    access = register(server, email)
    answer = httpx.post(f"{server.url}/api/v1/auth/tokens", json=wanted, headers=bearer(access))
    return str(answer.raise_for_status().json()["token"])


# ------------------------------------------------------------------------------------ how-to/embed-upload-in-an-app.md

EMBED = "how-to/embed-upload-in-an-app.md"


def embedded(program: str, server: Server, token: str) -> list[str]:
    """What the page's program prints: id, address, and the id of what it doubles."""
    done = subprocess.run(
        [sys.executable, "-c", program, "photo.jpg"],
        cwd=server.directory, env=clean_environment(CHITRAM_TOKEN=token),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.split()


@pytest.mark.soak
def test_a_program_whose_answer_is_lost_has_one_image(server: Server):
    (program,) = blocks(EMBED, language="python")
    token = api_token(server, "app@example.org", scopes=["upload", "read"])
    with losing_the_first_answer(server.port) as (address, answers):
        image_id, url, double = embedded(program.replace(SHOWN, address), server, token)
    assert [answer.split(b" ", 2)[1] for answer in answers] == [b"201", b"201"]
    owned = httpx.get(f"{server.url}/api/v1/users/me/images", headers=bearer(token)).json()["items"]
    assert [each["id"] for each in owned] == [image_id]
    assert (httpx.get(url.replace(address, server.url)).status_code, double) == (200, "None")
    assert embedded(program.replace(SHOWN, server.url), server, token)[2] == image_id


def test_pages_of_the_origins_that_are_named(tmp_path: Path):
    (setting,) = [block.strip() for block in blocks(EMBED) if "CORS_ORIGINS" in block]
    variable, _, origin = setting.partition("=")
    fields = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,idempotency-key",
    }
    with running_server(tmp_path, **UNLIMITED, **{variable: origin}) as running:
        upload = f"{running.url}/api/v1/images/upload"
        allowed = httpx.options(upload, headers={"Origin": origin, **fields})
        refused = httpx.options(upload, headers={"Origin": "https://evil.example", **fields})
        answer = httpx.post(upload, files={"file": pictures.jpeg(33, 20)}, headers={"Origin": origin})
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, origin)
    assert "access-control-allow-credentials" not in allowed.headers
    assert "access-control-allow-origin" not in refused.headers
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (201, origin)


# ---------------------------------------------------------------------------------------- how-to/rotate-the-secret.md

ROTATE = "how-to/rotate-the-secret.md"


def test_another_secret_signs_nobody_out(tmp_path: Path):
    make, check = (block for block in indented_blocks(ROTATE) if "openssl" in block or "/auth/me" in block)
    with running_server(tmp_path, **UNLIMITED, **CHEAP) as running:
        old = (running.data / "secret.key").read_text()
        before = register(running, "ann@example.org")
        new = run(running, make).strip()
    both = {"JWT_SECRET_KEY": new, "JWT_PREVIOUS_SECRET_KEYS": old}
    with running_server(tmp_path, **UNLIMITED, **CHEAP, **both) as running:
        assert json.loads(run(running, check, TOKEN=before))["email"] == "ann@example.org"
        after = sign_in(running, "ann@example.org").json()["access_token"]
    with running_server(tmp_path, **UNLIMITED, **CHEAP, JWT_SECRET_KEY=new) as running:
        assert json.loads(run(running, check, TOKEN=after))["email"] == "ann@example.org"
        with pytest.raises(subprocess.CalledProcessError) as refused:
            run(running, check, TOKEN=before)
    assert "401" in refused.value.stderr


def indented_blocks(page: str) -> list[str]:
    """The shell blocks of `page`, those in lists included, without their indentation."""
    return [re.sub(r"^ {3}", "", block, flags=re.MULTILINE) for block in blocks(page)]


# ------------------------------------------------------------------------------------------- explanation and runbooks


def test_a_browser_session_by_hand(server: Server):
    register(server, "browser@example.org")
    form = {"email": "browser@example.org", "password": PASSWORD}
    with httpx.Client(base_url=f"{server.url}/api/v1") as browser:
        foreign = {"Sec-Fetch-Site": "cross-site", "Origin": server.url}
        assert browser.post("/auth/session", data=form, headers=foreign).status_code == 403
        assert browser.post("/auth/session", data=form).status_code == 403
        signed_in = browser.post("/auth/session", data=form, headers={"Sec-Fetch-Site": "same-origin"})
        assert signed_in.status_code == 200
        cookie = signed_in.headers["set-cookie"]
        assert re.fullmatch(r"chitram_session=[\w.-]+; Max-Age=2592000; Path=/; HttpOnly; SameSite=Lax", cookie)
        token = browser.get("/auth/session").json()["csrf_token"]
        for headers, status in (
            ({}, 403),
            ({"Sec-Fetch-Site": "same-site"}, 403),
            ({"Origin": "https://evil.example"}, 403),
            ({"X-CSRF-Token": "wrong", "Sec-Fetch-Site": "same-origin"}, 403),
            ({"X-CSRF-Token": token}, 204),
            ({"Origin": server.url}, 204),
            ({"Sec-Fetch-Site": "none"}, 204),
        ):
            assert browser.delete("/auth/sessions", headers=headers).status_code == status, headers
        stolen = browser.cookies["chitram_session"]
        assert httpx.get(f"{server.url}/api/v1/auth/me", headers=bearer(stolen)).status_code == 401
        assert browser.delete("/auth/session", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 204
    stale = {"Cookie": f"chitram_session={stolen}", "Sec-Fetch-Site": "same-origin"}
    looking = httpx.get(f"{server.url}/api/v1/images", headers=stale)
    assert looking.status_code == 200
    assert "Max-Age=0" in looking.headers["set-cookie"]
    uploading = httpx.post(f"{server.url}/api/v1/images/upload", files={"file": b"x"}, headers=stale)
    assert uploading.status_code == 401
    assert "Max-Age=0" in uploading.headers["set-cookie"]


def audit_lines(server: Server) -> list[dict[str, Any]]:
    """What the runbooks' `jq` looks through: lines that are JSON, of the audit log."""
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["logger"] == "chitram.audit"]


def test_refused_sign_ins_are_found_in_the_log(server: Server):
    register(server, "victim@example.org")
    before = len(audit_lines(server))
    assert sign_in(server, "victim@example.org", "wrong password", address="127.0.0.9").status_code == 401
    assert sign_in(server, "nobody@example.org", "wrong password", address="127.0.0.9").status_code == 401
    found = [
        (line["action"], line["refusal"], line["address"], line["subject"])
        for line in audit_lines(server)[before:]
        if line["outcome"] == "refused"
    ]
    victim = users(server)["victim@example.org"]["id"]
    assert found == [
        ("login", "INVALID_CREDENTIALS", "127.0.0.9", victim),
        ("login", "INVALID_CREDENTIALS", "127.0.0.9", None),
    ]
    (script,) = blocks("runbooks/login-failures.md")[:1]
    assert {".logger", ".outcome", ".action", ".refusal", ".address", ".subject"} == set(
        re.findall(r"(?<!\w)\.\w+", script)
    )


def test_an_account_that_strangers_try_stays_open_to_where_it_was_signed_in(tmp_path: Path):
    with running_server(tmp_path, **CHEAP) as running:
        register(running, "ann@example.org")
        answers = [
            sign_in(running, "ann@example.org", "wrong password", address=f"127.0.1.{host}").status_code
            for host in range(1, 4)
            for _ in range(4)
        ]
        assert set(answers) == {401, 429}
        from_elsewhere = sign_in(running, "ann@example.org", address="127.0.2.1")
        assert (from_elsewhere.status_code, from_elsewhere.json()["detail"]["code"]) == (429, "RATE_LIMIT_EXCEEDED")
        assert 0 < int(from_elsewhere.headers["retry-after"]) <= 300
        assert sign_in(running, "ann@example.org", address="127.0.0.1").status_code == 200
