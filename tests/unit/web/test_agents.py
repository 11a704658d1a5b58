"""Sessions are listed by what people call their browser."""

import pytest

from chitram.entrypoints.web.agents import agent_text
from chitram.entrypoints.web.catalogue import Catalogue

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} Chrome/140.0.0.0 Safari/537.36", "Chrome 140 on Linux"),
        (f"Mozilla/5.0 (X11; CrOS x86_64 1.0) {WEBKIT} Chrome/140.0.0.0 Safari/537.36", "Chrome 140 on ChromeOS"),
        (
            f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/140.0.0.0 Safari/537.36 Edg/141.0.0.0",
            "Edge 141 on Windows",
        ),
        ("Mozilla/5.0 (Android 16; Mobile; rv:144.0) Gecko/144.0 Firefox/144.0", "Firefox 144 on Android"),
        (
            f"Mozilla/5.0 (Linux; Android 16) {WEBKIT} SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
            "Samsung Internet 28 on Android",
        ),
        (
            f"Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) {WEBKIT} Version/19.0 Mobile/15E148 Safari/604.1",
            "Safari 19 on iPhone",
        ),
        (
            f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Version/19.1 Safari/605.1.15",
            "Safari 19 on macOS",
        ),
    ],
)
def test_browsers_go_by_their_names(sent: str, shown: str):
    assert agent_text(sent, texts=Catalogue()) == shown


@pytest.mark.parametrize(
    "sent", ["", "curl/8.9", "Kitchen tablet 7", "Mozilla/5.0 (compatible; something else)", "Chrome/140 on Linux?"]
)
def test_other_programs_are_called_what_they_call_themselves(sent: str):
    assert agent_text(sent, texts=Catalogue()) == sent
