"""No secret that the server hands out or is told is written down anywhere but where it has to be.

A session of everything there is, at the most talkative setting; then all that the server wrote is searched for every
secret, also in the forms that a careless line would give it: quoted for an address, encoded, in pieces.

That it can fail was seen with the query in the access log and nothing redacted; either alone does no harm.
"""

import base64
import json
import random
import re
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.factories.servers import ENDED, UNLIMITED, Server
from tests.faults.people import AUTH, COOKIE, IMAGES, ME, bearer, create_token, register, sign_in, upload_as
from tests.faults.traffic import UPLOAD, form, picture

pytestmark = pytest.mark.slow

OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}
SECRET_KEY = "a secret key of the operator's; kept from everybody: 0123456789"
OLD_SECRET_KEY = "the secret key of last year; it is still good for some: 9876543210"
SETTINGS = {
    **UNLIMITED,
    "BCRYPT_ROUNDS": "4",
    "LOG_LEVEL": "debug",
    "DEBUG": "true",
    "JWT_SECRET_KEY": SECRET_KEY,
    "JWT_PREVIOUS_SECRET_KEYS": OLD_SECRET_KEY,
    "SWEEP_INTERVAL_SECONDS": "0.2",
}


class Secrets:
    """What must not be written down, by what it is."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {"secret key": SECRET_KEY, "old secret key": OLD_SECRET_KEY}

    def add(self, name: str, text: str) -> str:
        assert len(text) >= 8, f"{text!r} could be anything"
        self.known[f"{name} {len(self.known)}"] = text
        return text

    def add_token(self, name: str, token: str) -> str:
        """A JWT: its signature is what makes it one, so that counts alone, too."""
        self.add(f"{name}, its signature", token.rpartition(".")[2])
        return self.add(name, token)

    def found_in(self, data: bytes) -> list[str]:
        """The names of those that are in `data` in any form."""
        return [name for name, text in self.known.items() if any(form in data for form in forms(text))]


def forms(text: str) -> set[bytes]:
    """`text` as it may appear in a log, an address, a page or a dump."""
    raw = text.encode()
    quoted = {
        urllib.parse.quote(text, safe=""),
        urllib.parse.quote_plus(text),
        json.dumps(text)[1:-1],
        repr(text)[1:-1],
    }
    return {raw, base64.b64encode(raw).rstrip(b"="), raw.hex().encode(), *(form.encode() for form in quoted)}


def test_secrets_are_found_in_whatever_form():
    secrets = Secrets()
    name = next(iter(secrets.known))
    for form_of_it in forms(SECRET_KEY):
        assert secrets.found_in(b"level=debug text=" + form_of_it + b" more") == [name]
    assert secrets.found_in(b"level=debug") == []


@pytest.fixture(params=["json", pytest.param("console", marks=pytest.mark.soak)])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    settings = {**SETTINGS, "LOG_FORMAT": request.param, "REGISTRATION": "invite"}
    running = Server(tmp_path, settings=settings)
    running.start()
    yield running
    running.kill()


def live_a_life(server: Server, secrets: Secrets) -> None:
    """Ask for everything that takes or gives a secret, rightly and wrongly."""
    dice = random.Random(21)
    with httpx.Client(base_url=server.url, timeout=30) as client:
        invites = [secrets.add("invite", invite(server)) for _ in range(2)]
        password = secrets.add("password", 'the first password, quoted: "ü" & <%41>')
        person = register(client, "talkative@example.org", password=password, invite=invites[0])
        secrets.add_token("access token", person.token)
        wrong = secrets.add("wrong password", "not the password at all")
        refused = client.post(f"{AUTH}/login", json={"email": person.email, "password": wrong})
        assert refused.status_code == 401
        used = client.post(f"{AUTH}/register", json={"email": "x@example.org", "password": wrong, "invite": invites[0]})
        assert used.status_code == 403, used.text
        guess = secrets.add("guessed invite", "an invitation that nobody gave")
        client.post(f"{AUTH}/register", json={"email": "x@example.org", "password": wrong, "invite": guess})
        oauth = client.post(f"{AUTH}/token", data={"username": person.email, "password": password})
        secrets.add_token("access token by form", oauth.json()["access_token"])
        use_api_tokens(client, secrets, person, dice)
        use_a_browser(server, secrets, person)
        use_delete_tokens(client, secrets, person, dice)
        send_what_is_not_understood(client, secrets)
        new = secrets.add("new password", "the second password of this person")
        body = {"current_password": password, "new_password": new}
        assert client.post(f"{AUTH}/password", json=body, headers=person.headers).status_code == 204
        assert client.get(f"{AUTH}/me", headers=person.headers).status_code == 401
        again = client.post(f"{AUTH}/login", json={"email": person.email, "password": new}).json()["access_token"]
        secrets.add_token("access token afterwards", again)
        gone = client.request("DELETE", ME, json={"password": new, "images": "keep"}, headers=bearer(again))
        assert gone.status_code == 204, gone.text


def invite(server: Server) -> str:
    made = server.chitram("admin", "invite")
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def use_api_tokens(client: httpx.Client, secrets: Secrets, person: Any, dice: random.Random) -> None:
    for scopes in (("read",), ("upload", "read", "delete")):
        secret = secrets.add("API token", create_token(client, person, scopes=scopes))
        secrets.add("API token, what follows the prefix", secret.removeprefix("chitram_"))
        headers = bearer(secret)
        client.get(f"{ME}/images", headers=headers)
        assert client.get(f"{AUTH}/tokens", headers=headers).status_code == 403
        key = secrets.add("idempotency key", f"key-{dice.randbytes(12).hex()}")
        client.post(UPLOAD, files=form(picture(dice)), headers=headers | {"Idempotency-Key": key})
    unknown = secrets.add("unknown API token", f"chitram_{'k' * 43}")
    for token in (unknown, secrets.add("no token", "no.token.atall")):
        assert client.get(f"{IMAGES}/AAAAAAAAAAA", headers=bearer(token)).status_code == 401
    forged = secrets.add("forged token", ".".join([*person.token.split(".")[:2], "A" * 43]))
    assert client.get(f"{AUTH}/me", headers=bearer(forged)).status_code == 401
    basic = secrets.add("Basic credentials", base64.b64encode(b"somebody:elses password").decode())
    client.get(f"{AUTH}/me", headers={"Authorization": f"Basic {basic}"})


def use_a_browser(server: Server, secrets: Secrets, person: Any) -> None:
    with httpx.Client(base_url=server.url, timeout=30, headers=OWN_PAGE) as browser:
        body = {"email": person.email, "password": person.password}
        for options in ({"json": body}, {"data": body}):
            answer = browser.post(f"{AUTH}/session", **options)
            assert answer.status_code == 200, answer.text
            secrets.add_token("cookie", browser.cookies[COOKIE])
            token = secrets.add("CSRF token", answer.json()["csrf_token"])
        browser.get(f"{AUTH}/session")
        del browser.headers["Sec-Fetch-Site"]
        wrong = secrets.add("wrong CSRF token", "f" * 64)
        for given, status in ((wrong, 403), (token, 201)):
            sent = browser.post(
                f"{AUTH}/tokens", json={"name": "n", "scopes": ["read"]}, headers={"X-CSRF-Token": given}
            )
            assert sent.status_code == status, sent.text
        secrets.add("API token of the browser", sent.json()["token"])
        assert browser.delete(f"{AUTH}/session", headers={"X-CSRF-Token": token}).status_code == 204
        stale = secrets.add("forged cookie", "a.forged.cookie")
        browser.get(f"{AUTH}/session", headers={"Cookie": f"{COOKIE}={stale}"})


def use_delete_tokens(client: httpx.Client, secrets: Secrets, person: Any, dice: random.Random) -> None:
    private = upload_as(client, person, picture(dice), visibility="private")["id"]
    for way in ("header", "query", "claim"):
        key = secrets.add("idempotency key", f"anonymous-{dice.randbytes(12).hex()}")
        data = picture(dice)
        first, again = (client.post(UPLOAD, files=form(data), headers={"Idempotency-Key": key}) for _ in range(2))
        assert first.json()["id"] == again.json()["id"]
        path, token = f"{IMAGES}/{first.json()['id']}", secrets.add("delete token", first.json()["delete_token"])
        guess = secrets.add("wrong delete token", dice.randbytes(16).hex())
        for wrong in ({"headers": {"X-Delete-Token": guess}}, {"params": {"delete_token": guess}}):
            assert client.delete(path, **wrong).status_code == 403
            assert client.delete(f"{IMAGES}/{private}", **wrong).status_code == 404
        client.get(path, params={"delete_token": token})
        client.get(f"/nowhere/{first.json()['id']}", params={"delete_token": token})
        client.post(f"{path}/verify", params={"delete_token": token})
        if way == "claim":
            ended = client.post(f"{path}/claim", headers={**person.headers, "X-Delete-Token": token})
        elif way == "header":
            ended = client.delete(path, headers={"X-Delete-Token": token})
        else:
            ended = client.delete(path, params={"delete_token": token})
        assert ended.status_code in (200, 204), ended.text


def send_what_is_not_understood(client: httpx.Client, secrets: Secrets) -> None:
    """Bodies that cannot be read: what is wrong with them is said without saying what they are."""
    broken = secrets.add("password in broken JSON", "the password of a broken body")
    for content in (
        f'{{"email": "a@example.org", "password": "{broken}"',
        f'["{broken}"]',
        f'{{"password": "{broken}"}}',
    ):
        for path in ("register", "login", "session"):
            answer = client.post(
                f"{AUTH}/{path}", content=content, headers={"Content-Type": "application/json", **OWN_PAGE}
            )
            assert answer.status_code in (400, 422), answer.text
            assert broken not in answer.text
    short, long = secrets.add("short", "zx9vq81" + "!"), secrets.add("long password", "long password " * 20)
    for password in (short[:7], long):
        answer = client.post(f"{AUTH}/register", json={"email": "a@example.org", "password": password})
        assert answer.status_code == 422
        assert password not in answer.text
    email = secrets.add("password in the e-mail's place", "my password typed too early")
    answer = client.post(f"{AUTH}/register", json={"email": email, "password": long})
    assert email not in answer.text


def test_no_secret_is_written_down(server: Server, proof):
    secrets = Secrets()
    live_a_life(server, secrets)
    with httpx.Client(base_url=server.url, timeout=30) as client:
        for path in ("/metrics", "/health", "/health/ready", "/openapi.json", "/docs"):
            answer = client.get(path)
            assert answer.status_code in (200, 503), path
            assert secrets.found_in(answer.content) == [], path
    for command in (("settings",), ("doctor",), ("jobs", "list"), ("admin", "users")):
        said = server.chitram(*command)
        assert said.returncode == 0, said.stderr
        assert secrets.found_in((said.stdout + said.stderr).encode()) == [], command
    assert server.stop() in ENDED
    log = server.log.read_bytes()
    assert secrets.found_in(log) == []
    # It was not silent about these things.
    assert [word for word in (b"chitram.audit", b"/api/v1/auth/session", b"DELETE") if word not in log] == []
    stored = {
        path.name: secrets.found_in(path.read_bytes())
        for path in server.data.rglob("*")
        if path.is_file() and "storage" not in path.parts
    }
    assert {name: found for name, found in stored.items() if found} == {}
    proof.record(
        "No secret is written down",
        "log at debug level, metrics, health, commands, database file: secrets looked for in each; found",
        f"{len(secrets.known)}; 0",
    )


def test_the_generated_secret_is_in_its_file_alone(tmp_path: Path):
    settings = {key: value for key, value in SETTINGS.items() if not key.startswith("JWT_")}
    server = Server(tmp_path, settings=settings)
    try:
        server.start()
        (file,) = [path for path in server.data.iterdir() if path.name.startswith("secret")]
        assert file.stat().st_mode & 0o077 == 0
        secrets = Secrets()
        secrets.known = {"generated secret": file.read_text().strip()}
        assert len(secrets.known["generated secret"]) >= 32
        with httpx.Client(base_url=server.url, timeout=30) as client:
            person = register(client, "somebody@example.org")
            sign_in(client, person)
            assert secrets.found_in(client.get("/metrics").content) == []
        said = server.chitram("settings")
        assert said.returncode == 0
        assert secrets.found_in((said.stdout + said.stderr).encode()) == []
        assert server.stop() in ENDED
        assert secrets.found_in(server.log.read_bytes()) == []
        others = [path for path in server.data.rglob("*") if path.is_file() and path != file]
        assert [path.name for path in others if secrets.found_in(path.read_bytes())] == []
    finally:
        server.kill()


def test_a_delete_token_in_an_address_is_scrubbed(tmp_path: Path):
    """Also where it is spelt in other ways that mean the same to us, or twice."""
    server = Server(tmp_path, settings=SETTINGS)
    token = "Z" * 43
    try:
        server.start()
        with httpx.Client(base_url=server.url, timeout=30) as client:
            for query in (
                f"delete_token={token}", f"a=b&delete_token={token}&c=d", f"delete%5Ftoken={token}",
                f"delete_token={token}&delete_token={token}", f"%64elete_token={token}", f"DELETE_TOKEN={token}",
            ):  # fmt: skip
                for method in ("GET", "DELETE"):
                    client.request(method, f"{IMAGES}/AAAAAAAAAAA?{query}")
                client.get(f"/nowhere?{query}", headers={"Referer": f"{server.url}/?{query}"})
        assert server.stop() in ENDED
        log = server.log.read_bytes()
        assert re.search(rb"AAAAAAAAAAA", log)
        assert token.encode() not in log
    finally:
        server.kill()
