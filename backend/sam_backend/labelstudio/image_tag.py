"""An `<Image>` tag and the addresses that its value gives for a task, as Label Studio's page resolves them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sam_backend.errors import BadRequestError, brief
from sam_backend.labelstudio.addresses import with_page

_VARIABLE = re.compile(r"""\$([\w.\[\]"']+)""")
_STEP = re.compile(r"""\.?([^.\[\]]+)|\[(?:(\d+)|"([^"]*)"|'([^']*)')\]""")
_MISSING = object()
_UNDEFINED = "$undefined$"
"""The field of a task that was imported before the project had a labeling config."""
_LISTED = 20


@dataclass(frozen=True)
class ImageTag:
    """An `<Image>` tag.

    Attributes
    ----------
    name : str, the name to which the controls refer in `toName`.
    value : str, its value or valueList: the address itself, `$field` with a field of the task's data, a path into the
        data such as `$pages[0].url`, or an address with such variables in it.
    """

    name: str
    value: str

    def source(self, data: Mapping[str, Any], item_index: int = 0) -> str:
        """Return the address of this tag's image, with the page of its file where the data name one.

        The page of the field "image" stands in the field "image_page"; of a list, one for all, or a list as well.

        Parameters
        ----------
        data : the task's data.
        item_index : int, which image of a list, from 0; 0 if the data hold a single address.

        Raises
        ------
        BadRequestError
            If the task lacks the field or the image, or a field holds no address or no page.
        """
        source = self._resolved(data)
        images = source if isinstance(source, list) else [source]
        if not 0 <= item_index < len(images):
            number = f"{len(images)} image{'' if len(images) == 1 else 's'}"
            raise BadRequestError(
                f"The task has {number}; it was asked for number {brief(item_index + 1)} of '{self.name}'."
            )
        address = images[item_index]
        if not isinstance(address, str) or not address:
            raise BadRequestError(
                f"The task's field '{self.value}' should hold an image's address; got {brief(address)}."
            )
        page = self._page(data, item_index)
        return address if page is None else with_page(address, page)

    def count(self, data: Mapping[str, Any]) -> int | None:
        """Return how many images the list of this tag has in a task's `data`; None if it is a single image."""
        try:
            source = self._resolved(data)
        except BadRequestError:
            return None
        return len(source) if isinstance(source, list) else None

    def _page(self, data: Mapping[str, Any], item_index: int) -> int | None:
        if not _VARIABLE.fullmatch(self.value):
            return None
        field = f"{self.value[1:]}_page"
        page = look_up(data, field)
        if isinstance(page, list):
            page = page[item_index] if item_index < len(page) else None
        if page is _MISSING or page is None:
            return None
        if isinstance(page, bool) or not re.fullmatch("[1-9][0-9]{0,5}", str(page)):
            raise BadRequestError(
                f"The task's field '{brief(field, quoted=False)}' should hold the number of a page, from 1 on; "
                f"got {brief(page)}."
            )
        return int(page)

    def _resolved(self, data: Mapping[str, Any]) -> Any:
        """Return what the value stands for: anything for a single variable, a text for an address with variables."""
        if self.value.startswith("$"):
            found = look_up(data, self.value[1:])
            if found is _MISSING and _UNDEFINED in data:
                found = data[_UNDEFINED]
            if found is not _MISSING:
                return found
            if _VARIABLE.fullmatch(self.value):
                raise self._lacks(self.value[1:], data)
        return _VARIABLE.sub(lambda variable: self._text(variable[1], data), self.value)

    def _text(self, path: str, data: Mapping[str, Any]) -> str:
        """Return the text of a variable within an address; dots at its end may belong to the address."""
        end, found = len(path), look_up(data, path)
        while found is _MISSING and (end := path.rfind(".", 0, end)) > 0:
            found = look_up(data, path[:end])
        if found is _MISSING:
            raise self._lacks(path, data)
        if isinstance(found, bool) or not isinstance(found, str | int | float):
            raise BadRequestError(
                f"The labeling config puts the field '{path}' into the address of an image, but it is no text; "
                f"got {brief(found)}."
            )
        return (found if isinstance(found, str) else brief(found)) + path[end:]

    def _lacks(self, path: str, data: Mapping[str, Any]) -> BadRequestError:
        return BadRequestError(
            f"The labeling config takes the image from the field '{brief(path, quoted=False)}', which this task lacks; "
            f"it has {listed(data)}."
        )


def look_up(data: Mapping[str, Any], path: str) -> Any:
    """Return the value of a path such as `pages[0].url` in a task's data, or a marker that is no value of JSON.

    A field whose name is the whole path comes first, as in Label Studio.
    """
    if path in data:
        return data[path]
    value: Any = data
    position = 0
    while position < len(path):
        step = _STEP.match(path, position)
        if step is None:
            return _MISSING
        key = next(group for group in step.groups() if group is not None)
        if isinstance(value, Mapping) and key in value:
            value = value[key]
        elif isinstance(value, list) and re.fullmatch("[0-9]{1,9}", key) and int(key) < len(value):
            value = value[int(key)]
        else:
            return _MISSING
        position = step.end()
    return value if path else _MISSING


def listed(names: Iterable[str]) -> str:
    """Return names for a message, in quotes; only the first of many."""
    known = list(names)
    more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
    return (", ".join(f"'{brief(name, quoted=False)}'" for name in known[:_LISTED]) or "none") + more
