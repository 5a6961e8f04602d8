"""The commands of the tutorial, in a folder of their own; those that need Label Studio are in tests/e2e."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from sam_backend.demo.project import built_in_images
from tutorial_page import agrees, blocks

ROOT = Path(__file__).parents[3]
END = "end of block"


@pytest.mark.slow
def test_every_command_without_label_studio_prints_what_the_page_shows(tmp_path):
    checkout = tmp_path / "sam-inspect"
    for name in ("backend", "evaluation", "cli"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, checkout)
    built_in_images(tmp_path / "first")  # as the demo of step 2 does at once
    chosen = [block for block in blocks() if not block.needs_label_studio]
    assert len(chosen) == 4
    script = "".join(f"{block.commands}\necho {END}\n" for block in chosen)
    # Packages are those of this environment, so that pip needs no network; 0 is its way to say "no isolation".
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_IGNORE_INSTALLED": "1"}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SAM_INSPECT_")}
    own = {
        "HOME": str(tmp_path),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": sysconfig.get_path("purelib"),
        "COLUMNS": "120",
    }
    done = subprocess.run(
        ["bash", "-eu", "-c", script], cwd=tmp_path, env=inherited | offline | own, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    printed = done.stdout.split(f"{END}\n")
    for block, output in zip(chosen, printed, strict=False):
        assert block.shown is None or agrees(block.shown, output), f"{block.commands}\n{output}"
    for result in ("everything/sheet-1.png", "accuracy/report.html"):
        assert (tmp_path / "runs" / result).is_file()


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("27 masks on 12 images", "28 masks on 12 images\n", True),
        ("27 masks on 12 images", "27 masks on 13 images", False),
        ("IoU 0.878  12", "IoU  0.861   12  ", True),
        ("IoU 0.878", "IoU 0.8", False),
        ("✓ a: … ms\n…\nend", "✓ a: 7.5 ms\n✓ b\n✓ c\nend", True),
        ("✓ a\n…\nend", "✓ a\nend of it", False),
        ("╭─ title ─╮\n│ text │", "╭──── title ───╮\n│ text         │", True),
    ],
)
def test_what_a_page_shows_agrees_with_what_is_printed(shown, printed, same):
    assert agrees(shown, printed) is same
