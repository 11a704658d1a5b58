"""Many who sign in at the same moment: each is answered, most of them by being asked to come back, and others go on."""

from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.counts import count
from tests.factories.servers import ENDED, UNLIMITED, running_server
from tests.faults.onlookers import onlooker
from tests.faults.people import AUTH, PASSWORD, register
from tests.faults.recount import account_violations
from tests.faults.stampede import at_once
from tests.faults.traffic import UPLOAD, form, pictures_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

#: As many as in the benchmark of the same name; the cost is lower in everyday runs, the queue as long.
CROWD = 200


def test_a_burst_of_sign_ins_leaves_the_others_alone(tmp_path: Path, proof):
    cost = count(8, 12)
    settings = {**UNLIMITED, "BCRYPT_ROUNDS": str(cost), "LOG_LEVEL": "warning"}
    with running_server(tmp_path, **settings) as server:
        with httpx.Client(base_url=server.url, timeout=30) as client:
            person = register(client, "somebody@example.org")
            image = client.post(UPLOAD, files=form(pictures_of(1, count=1)[0])).json()["id"]
        bodies = [
            {"email": person.email, "password": PASSWORD if number % 2 else "wrong password"} for number in range(CROWD)
        ]
        acts = [lambda client, body=body: client.post(f"{AUTH}/login", json=body, timeout=300) for body in bodies]
        assert server.process is not None
        with onlooker(server.url, server.process.pid, path=f"/api/v1/images/{image}", patience=30) as seen:
            answers = at_once(server.url, acts)
        assert seen.failures == []
        assert seen.answered
        outcomes = Counter(answer.status_code for answer in answers)
        # Nobody is let in with a wrong password, nobody is told that a right one is wrong, and nobody gets a 500.
        for body, answer in zip(bodies, answers, strict=True):
            assert answer.status_code in ((200, 503) if body["password"] == PASSWORD else (401, 503)), answer.text
            assert answer.status_code != 503 or int(answer.headers["retry-after"]) > 0
        assert outcomes[200]
        assert outcomes[401]
        # Afterwards everything is as ever, and who was let in is in.
        with httpx.Client(base_url=server.url, timeout=60) as client:
            token = next(answer.json()["access_token"] for answer in answers if answer.status_code == 200)
            assert client.get(f"{AUTH}/me", headers={"Authorization": f"Bearer {token}"}).status_code == 200
            again = client.post(f"{AUTH}/login", json=bodies[1])
            assert again.status_code == 200
        assert account_violations(server.data) == []
        assert server.stop() in ENDED
    proof.record(
        "A burst of sign-ins costs the others little",
        f"{CROWD} at once, cost {cost}: let in, refused, asked to come back; slowest other request",
        f"{outcomes[200]}, {outcomes[401]}, {outcomes[503]}; {seen.slowest * 1e3:.0f} ms",
    )
