"""Links lead somewhere, commands exist, and settings that a page names are real."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from chitram.settings import Settings
from tests.architecture.sources import ROOT, project_files
from tests.docs.settings_page import schemas

PAGES = {path.relative_to(ROOT).as_posix(): path for path in project_files() if path.suffix == ".md"}
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
#: Upper-case names with an underscore that are no settings: codes of errors, and words of others.
VARIABLE = re.compile(r"^(?:export )?([A-Z][A-Z0-9_]+)=", re.MULTILINE)
#: What the files below deploy/ want replaced, which is not Chitram's to read.
OF_DEPLOYMENT = {
    name
    for path in project_files(ROOT / "deploy")
    for name in re.findall(r"(?<!\$)\$\{([A-Z_]+)", path.read_text(encoding="utf-8"))
}
TARGETS = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def anchors(page: Path) -> set[str]:
    """What `#…` may follow the page's address."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(page: Path) -> Iterator[str]:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str):
    assert list(dead_links(PAGES[name])) == []


def test_a_dead_link_would_be_found(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("# A title\n[a](gone.md) [b](page.md#a-title) [c](#nowhere) [d](https://example.org/)\n")
    assert list(dead_links(page)) == ["gone.md", "#nowhere"]


def test_every_page_is_reached_from_the_index():
    reached, waiting = set(), [ROOT / "docs/README.md"]
    while waiting:
        page = waiting.pop().resolve()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        links = (link.partition("#")[0] for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link)
        waiting += [page.parent / link for link in links if link]
    assert {name for name, path in PAGES.items() if name.startswith("docs/") and path.resolve() not in reached} == set()


@pytest.mark.parametrize("name", PAGES)
def test_commands_exist_in_the_makefile(name: str):
    text = PAGES[name].read_text(encoding="utf-8")
    inline = re.findall(r"`make ([a-z-]+)", text)
    blocks = [
        m
        for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
        for m in re.findall(r"^make ([a-z-]+)", block, re.MULTILINE)
    ]
    assert {*inline, *blocks} <= TARGETS


@pytest.mark.parametrize("name", [name for name in PAGES if name != "docs/reference/specification.md"])
def test_settings_in_examples_are_real(name: str):
    text = PAGES[name].read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    assert set(VARIABLE.findall(blocks)) - {"ID", "DIGEST", "TOKEN"} <= set(schemas(Settings)) | OF_DEPLOYMENT


def test_a_page_for_beginners_shows_the_two_commands():
    assert {"run", "test"} <= TARGETS
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make run" in text
    assert "make test" in text
