"""Gives the site what pages link to outside of docs/: Markdown files as pages, other files and folders as listings.

So one link works in the repository and on the site, which needs no other host.
"""

import posixpath
import re
import subprocess
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

DOCS, FOLDER = "docs/", "repository/"
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)(?=[)#\s])")
_LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".sh": "sh"}

_tracked: set[str] = set()
"""The files of the repository, as paths from its root."""
_places: dict[str, str] = {}
"""What is not in docs/ and has a place in the site: path in the repository -> the page's source."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what the pages link to, and what that links to in turn."""
    root = Path(config.config_file_path).parent
    _tracked.clear()
    _tracked.update(
        subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True).stdout.split()
    )
    _places.clear()
    waiting = [(DOCS + page.src_uri, page.content_string) for page in files.documentation_pages()]
    while waiting:
        origin, text = waiting.pop()
        for link in _LINK.findall(text):
            path = _path(origin, link)
            listed = sorted(name for name in _tracked if name == path or name.startswith(f"{path}/"))
            if path.startswith(DOCS) or path in _places or not listed:
                continue
            is_page = path.endswith(".md")
            content = (root / path).read_text(encoding="utf-8") if is_page else _listing(root, path, listed)
            _places[path] = FOLDER + path + ("" if is_page else ".md")
            files.append(File.generated(config, _places[path], content=content))
            if is_page:
                waiting.append((path, content))
    return files


def on_page_markdown(markdown: str, /, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the links that leave docs/, and all of a page from outside of it, to their places in the site."""
    here = page.file.src_uri
    origin = here.removeprefix(FOLDER) if here.startswith(FOLDER) else DOCS + here

    def placed(link: re.Match[str]) -> str:
        path = _path(origin, link[1])
        target = path.removeprefix(DOCS) if path.startswith(DOCS) else _places.get(path)
        return posixpath.relpath(target, posixpath.dirname(here)) if target else link[1]

    return _LINK.sub(placed, markdown)


def _path(origin: str, link: str) -> str:
    """Return what a link in the file `origin` means, as a path from the repository's root; a folder is its README."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), link))
    readme = f"{path}/README.md"
    return readme if readme in _tracked else path


def _listing(root: Path, path: str, files: list[str]) -> str:
    """Return a page with the text of a file, or of all files of a folder."""
    parts = [f"# `{path}`"]
    for name in files:
        if name != path:
            parts.append(f"## `{name.removeprefix(f'{path}/')}`")
        text = (root / name).read_text(encoding="utf-8")
        parts.append(f"``````{_LANGUAGES.get(Path(name).suffix, 'text')}\n{text}\n``````")
    return "\n\n".join(parts) + "\n"
