"""People for Locust: `locust -f benchmarks/locustfile.py --host http://127.0.0.1:8000`.

The specification's mix: of a hundred requests 60 look at an image (half at its metadata, half at a thumbnail), 25
download an original, 10 upload one, 5 list. Half of the people are strangers, half are signed in, and these look at
their own private images as well and list what is theirs.

For a server that is not one's own: everybody comes from one address here, so the limits of strangers would be measured
and nothing else; `benchmarks/load.py` starts a server without them.
"""

import random
import threading
import uuid
from collections import deque
from typing import Any

from locust import FastHttpUser, between, task

from benchmarks.rig.photographs import Variants, generated

#: Images that strangers know of; the oldest are forgotten.
KNOWN = 500
#: At the start there is something to look at, by as many uploads.
FIRST_IMAGES = 20
PASSWORD = "correct horse battery"
_VARIANTS: list[Variants] = []
_LOCK = threading.Lock()
_images: deque[str] = deque(maxlen=KNOWN)


def picture() -> bytes:
    """Another photograph of 2 megapixels. The first is made when somebody wants one, not when this file is read."""
    with _LOCK:
        if not _VARIANTS:
            _VARIANTS.append(Variants([generated(megapixels=2)]))
        return _VARIANTS[0].next()


class Person(FastHttpUser):
    """What everybody does. Requests are counted under these names, whatever the image."""

    abstract = True
    wait_time = between(0.5, 1.5)
    headers: dict[str, str] = {}  # noqa: RUF012  (replaced for each person, never changed)
    list_path = "/api/v1/images"

    def on_start(self) -> None:
        """See to it that there is something to look at."""
        self.own: deque[str] = deque(maxlen=50)
        while len(_images) < FIRST_IMAGES:
            self.upload()

    def pick(self) -> str:
        """The id of an image: mostly anybody's, sometimes one's own."""
        if self.own and random.random() < 0.3:
            return random.choice(self.own)
        return random.choice(_images)

    def ask(self, name: str, path: str) -> None:
        """A GET that has to be answered with 200."""
        with self.client.get(path, headers=self.headers, name=name, catch_response=True) as answer:
            if answer.status_code == 200:
                answer.success()
            else:
                answer.failure(f"status {answer.status_code}")

    @task(30)
    def view(self) -> None:
        """Metadata."""
        self.ask("view: metadata", f"/api/v1/images/{self.pick()}")

    @task(30)
    def view_thumbnail(self) -> None:
        """A thumbnail."""
        self.ask("view: thumbnail", f"/api/v1/images/{self.pick()}/thumbnail")

    @task(25)
    def download(self) -> None:
        """An original."""
        self.ask("download", f"/api/v1/images/{self.pick()}/file")

    @task(5)
    def list_images(self) -> None:
        """A page of a list."""
        self.ask("list", f"{self.list_path}?limit=24")

    @task(10)
    def upload(self) -> None:
        """A new picture."""
        visibility = self.visibility()
        files = {"file": ("photo.jpg", picture(), "image/jpeg")}
        with self.client.post(
            "/api/v1/images/upload",
            files=files,
            data={"visibility": visibility},
            headers=self.headers,
            name="upload",
            catch_response=True,
        ) as answer:
            if answer.status_code != 201:
                answer.failure(f"status {answer.status_code}")
                return
            answer.success()
            self.keep(answer.json(), visibility)

    def visibility(self) -> str:
        """Of the next upload."""
        return "public"

    def keep(self, image: dict[str, Any], visibility: str) -> None:
        """Remember an image that was uploaded."""
        self.own.append(image["id"])
        if visibility != "private":
            _images.append(image["id"])


class Stranger(Person):
    """Somebody without an account."""

    weight = 1


class Member(Person):
    """Somebody who is signed in."""

    weight = 1
    list_path = "/api/v1/users/me/images"

    def on_start(self) -> None:
        """Get an account."""
        body = {"email": f"{uuid.uuid4().hex}@example.org", "password": PASSWORD}
        with self.client.post("/api/v1/auth/register", json=body, name="register", catch_response=True) as answer:
            if answer.status_code != 201:
                answer.failure(f"status {answer.status_code}")
                raise RuntimeError(f"no account: {answer.status_code}")
            answer.success()
        self.headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        super().on_start()

    def visibility(self) -> str:
        """Half of what members upload is private."""
        return random.choice(("public", "private"))
