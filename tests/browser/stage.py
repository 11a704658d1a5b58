"""What there is to be seen: accounts, pictures, sessions and tokens, with one's own words wherever some may stand."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from playwright.sync_api import Browser, BrowserContext

from tests.browser.people import Visitor, edited, sign_in, signed_up, uploaded, window
from tests.factories.pictures import jpeg, png
from tests.factories.servers import Server
from tests.faults.people import AUTH, PASSWORD, Person, create_token

#: One more than a page of one's own pictures has, and more than a page of the gallery.
PICTURES = 41
#: Of a server that shows what an open one never does: invitations, members only, limits.
STRICT = {
    "BCRYPT_ROUNDS": "4",
    "ANONYMOUS_UPLOADS": "false",
    "REGISTRATION": "invite",
    "RATE_LIMIT_AUTH_ATTEMPTS": "40",
}

#: Noted from the first script on: how far things moved that nobody touched, and what the policy refused.
WITNESS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    if (entry.hadRecentInput) continue;
    const movers = entry.sources.map((source) => `${source.node?.nodeName}.${source.node?.className}`);
    window.shifts.push([entry.value, movers.join(" ")]);
  }
}).observe({ type: "layout-shift", buffered: true });
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""


@dataclass(frozen=True, slots=True)
class Words:
    """What people wrote. Each stands where the pages show it."""

    filename: str = "A day at the sea.jpg"
    title: str = "A day at the sea"
    description: str = "Wind, salt, and a long way home.\nWe stayed until it was dark."
    token: str = "laptop"
    agent: str = "Shell of ours/1.0"


#: As long as words may get, without a place to break them.
LONG = Words(
    filename=f"{'holiday' * 34}.jpg", title="w" * 200, description="d" * 1200, token="t" * 100, agent="a" * 200
)


@dataclass(frozen=True, slots=True)
class Stage:
    """`public`, `private` and `tall`, which has LONG words, are the owner's pictures, `anonymous` is nobody's.

    `guarded` is a picture on the strict server, where the owner has an account too.
    """

    site: Server
    strict: Server
    owner: Person
    newcomer: Person
    public: str
    private: str
    tall: str
    anonymous: str
    anonymous_token: str
    guarded: str


def set_stage(site: Server, strict: Server, *, words: Words, name: str, rest: Sequence[Words] = ()) -> Stage:
    """Fill two servers. `name` tells the accounts of one stage from those of others; `rest`: words of more pictures."""
    owner = signed_up(site.url, f"{name}@example.org")
    newcomer = signed_up(site.url, f"{name}.newcomer@example.org")
    plain = [Words(filename=f"picture {number}.jpg", title="") for number in range(PICTURES - 3 - len(rest))]
    for number, each in enumerate([*plain, *rest]):
        _picture(site.url, number, owner, each)
    tall = uploaded(site.url, png(60, 900, mode="RGBA", seed=5), name=LONG.filename, person=owner)
    edited(site.url, tall["id"], owner, title=LONG.title, description=LONG.description)
    private = uploaded(site.url, jpeg(320, 240, seed=4), name=words.filename, person=owner, visibility="private")
    public = uploaded(site.url, jpeg(1600, 1200, seed=3), name=words.filename, person=owner)
    edited(site.url, public["id"], owner, title=words.title, description=words.description)
    anonymous = uploaded(site.url, jpeg(640, 480, seed=2), name=words.filename, visibility="unlisted")
    for each in (words, LONG):
        _logged_in_elsewhere(site.url, owner, each)
    return Stage(
        site=site,
        strict=strict,
        owner=owner,
        newcomer=newcomer,
        public=public["id"],
        private=private["id"],
        tall=tall["id"],
        anonymous=anonymous["id"],
        anonymous_token=anonymous["delete_token"],
        guarded=_guarded(strict, name=name),
    )


def _picture(url: str, number: int, owner: Person, words: Words) -> None:
    # Of every shape, from the widest tile to the tallest.
    width, height = 40 + 37 * number % 90, 40 + 53 * number % 120
    image = uploaded(url, jpeg(width, height, seed=number), name=words.filename, person=owner)
    if words.title:
        edited(url, image["id"], owner, title=words.title, description=words.description)


def _logged_in_elsewhere(url: str, owner: Person, words: Words) -> None:
    with httpx.Client(base_url=url, timeout=30) as client:
        create_token(client, owner, name=words.token)
        agent = {"User-Agent": words.agent.encode("ascii", "replace").decode()}
        body = {"email": owner.email, "password": owner.password}
        assert client.post(f"{AUTH}/login", json=body, headers=agent).status_code == 200


def _guarded(strict: Server, *, name: str) -> str:
    """A picture of the strict server's one member, whom somebody invited."""
    code = strict.chitram("admin", "invite")
    assert code.returncode == 0, code.stderr
    body = {"email": f"{name}@example.org", "password": PASSWORD, "invite": code.stdout.split()[0]}
    with httpx.Client(base_url=strict.url, timeout=30) as client:
        answer = client.post(f"{AUTH}/register", json=body)
    assert answer.status_code == 201, answer.text
    member = Person(body["email"], PASSWORD, answer.json()["access_token"])
    picture = uploaded(strict.url, jpeg(64, 48), person=member, visibility="unlisted")
    return str(picture["id"])


#: What is done to a tab before anything is opened in it.
Prepare = Callable[[Visitor], None]


class Company:
    """Browser windows by who sits in front of them; each is opened when it is first asked for, and stays open."""

    def __init__(
        self, browser: Browser, stage: Stage, windows: ExitStack, prepare: Prepare, options: dict[str, Any]
    ) -> None:
        self._browser = browser
        self._stage = stage
        self._windows = windows
        self._prepare = prepare
        self._options = options
        self._contexts: dict[str, BrowserContext] = {}

    @contextmanager
    def page(self, who: str, *, width: int = 1440, height: int = 900) -> Iterator[Visitor]:
        """A new tab of the stranger, the owner, the newcomer, or the outsider, who looks at the strict server."""
        context = self._context(who)
        page = context.new_page()
        try:
            page.set_viewport_size({"width": width, "height": height})
            visitor = Visitor(page, self._url(who))
            visitor.watch(page)
            self._prepare(visitor)
            yield visitor
        finally:
            page.close()

    def _url(self, who: str) -> str:
        return self._stage.strict.url if who == "outsider" else self._stage.site.url

    def _context(self, who: str) -> BrowserContext:
        if who not in self._contexts:
            visitor = self._windows.enter_context(window(self._browser, self._url(who), **self._options))
            visitor.context.add_init_script(WITNESS)
            if person := {"owner": self._stage.owner, "newcomer": self._stage.newcomer}.get(who):
                sign_in(visitor, person)
            self._contexts[who] = visitor.context
        return self._contexts[who]


@contextmanager
def company(browser: Browser, stage: Stage, *, prepare: Prepare = lambda _: None, **options: Any) -> Iterator[Company]:
    """Everybody who looks at `stage`; `options` are those of `Browser.new_context`."""
    with ExitStack() as windows:
        yield Company(browser, stage, windows, prepare, options)
