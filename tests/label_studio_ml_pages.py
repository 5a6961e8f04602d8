"""What docs/label-studio-ml.md tells users to write."""

import re
from pathlib import Path

_PAGE = Path(__file__).parents[1] / "docs" / "label-studio-ml.md"


def write_documented_files(folder, version):
    """Write the page's `model.py` and, for version 1 or 2, its `_wsgi.py` into a folder."""
    model, *wsgi = re.findall(r"```python\n(.*?)```", _PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (folder / "model.py").write_text(model)
    (folder / "_wsgi.py").write_text(wsgi[2 - version])
