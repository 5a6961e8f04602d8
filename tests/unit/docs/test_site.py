"""The documentation site: built without a warning, read without a network, as Markdown is meant in the repository."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from documentation_site import build_site

# Of these a browser loads what they name; other addresses are links for people.
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site as `make docs` builds it; strict, so that a warning is a failure."""
    folder = tmp_path_factory.mktemp("site")
    build_site(folder)
    return folder


class Loaded(HTMLParser):
    """Collects what a browser loads for a page, and the text of its paragraphs."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.paragraphs: list[str] = []
        self._in_paragraph = False
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self._in_paragraph = tag == "p" or (self._in_paragraph and tag in ("a", "code", "strong", "em"))
        if tag == "p":
            self.paragraphs.append("")
        if address := dict(attributes).get(LOADED.get(tag, "")):
            self.addresses.append(address)

    def handle_endtag(self, tag):
        self._in_paragraph = self._in_paragraph and tag != "p"

    def handle_data(self, data):
        if self._in_paragraph:
            self.paragraphs[-1] += data


def test_a_page_loads_nothing_from_another_host(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 50
    for page in pages:
        addresses = Loaded(page).addresses
        assert addresses
        assert [address for address in addresses if re.match(r"(\w+:)?//", address)] == [], page
    for style in site.rglob("*.css"):
        assert re.findall(r"""(?:url\(|@import )["']?(?:https?:)?//""", style.read_text(encoding="utf-8")) == [], style


def test_lists_tables_and_code_of_the_repository_are_the_same_on_the_site(site):
    """GitHub wants no empty line before a list, and two spaces before code in it; the site wants the line and four."""
    for page in site.rglob("*.html"):
        texts = [text for text in Loaded(page).paragraphs if re.search(r"\n([-*]|\d+\.) |```|^\|", text)]
        assert texts == [], page


def test_every_command_has_its_section(site):
    page = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    for name in ("serve", "evaluate", "import", "models-rollback", "signal-render"):
        assert f'<h3 id="{name}">' in page
    assert "--points-per-side" in page


def test_links_that_leave_the_documentation_lead_to_pages_of_the_site(site):
    assert 'href="repository/CHANGELOG.html"' in (site / "deploy.html").read_text(encoding="utf-8")
    listing = (site / "repository" / "examples" / "pipelines.html").read_text(encoding="utf-8")
    assert 'id="defectstoml"' in listing
    # Of a file outside of docs/, the links into it.
    assert 'href="../everything.html"' in (site / "repository" / "CHANGELOG.html").read_text(encoding="utf-8")
