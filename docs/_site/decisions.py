"""Puts the decision records into the navigation, so that a new one needs no line in mkdocs.yml.

In the search they stand below the guides, which have the same words.
"""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

_SECTION = "decisions/"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Replace the name of the folder by its pages, the one that introduces them first."""
    names = sorted(path.name for path in Path(config.docs_dir, _SECTION).glob("*.md") if path.name != "README.md")
    pages = [_SECTION + name for name in ("README.md", *names)]
    inner = [entry for group in config.nav for entries in group.values() for entry in entries]
    (section,) = [entry for entry in inner if isinstance(entry, dict) and _SECTION in entry.values()]
    section.update(dict.fromkeys(section, pages))
    return config


def on_page_markdown(markdown: str, /, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lower the place of a record in the results of a search."""
    if page.file.src_uri.startswith(_SECTION):
        page.meta["search"] = {"boost": 0.3}
    return markdown
