"""What people call the program that a session was opened with."""

import re

from chitram.entrypoints.web.catalogue import Catalogue

#: Most browsers also claim to be the ones below them, so the first that fits is the one.
_BROWSERS = (
    ("Edge", re.compile(r"Edg(?:A|iOS)?/(\d+)")),
    ("Opera", re.compile(r"OPR/(\d+)")),
    ("Samsung Internet", re.compile(r"SamsungBrowser/(\d+)")),
    ("Firefox", re.compile(r"(?:Firefox|FxiOS)/(\d+)")),
    ("Chrome", re.compile(r"(?:Chrome|CriOS)/(\d+)")),
    ("Safari", re.compile(r"Version/(\d+)[\d.]* (?:Mobile/\w+ )?Safari/")),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Macintosh", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def agent_text(user_agent: str, *, texts: Catalogue) -> str:
    """`Firefox 140 on Linux` for browsers; anything else as it calls itself."""
    if not user_agent.startswith("Mozilla/"):
        return user_agent
    browsers = ((name, pattern.search(user_agent)) for name, pattern in _BROWSERS)
    browser = next((f"{name} {found[1]}" for name, found in browsers if found), None)
    system = next((name for sign, name in _SYSTEMS if sign in user_agent), None)
    if browser is None or system is None:
        return user_agent
    return texts("account.agent", browser=browser, system=system)
