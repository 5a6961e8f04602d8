"""What a newcomer types first."""

import subprocess
import sys
from importlib.metadata import version

HEAVY = (
    "numpy",
    "pydantic",
    "pydantic_settings",
    "platformdirs",
    "importlib.metadata",
    "rich.progress",
    "httpx",
    "cv2",
)


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)


def test_the_command_line_imports_nothing_heavy_before_a_command_runs() -> None:
    code = f"import sys, sam_inspect.main; print([name for name in {HEAVY} if name in sys.modules])"
    assert run("-c", code).stdout.strip() == "[]"


def test_python_m_sam_inspect_shows_the_commands() -> None:
    shown = run("-m", "sam_inspect", "--help")
    assert shown.returncode == 0
    for name in ("serve", "preannotate", "finetune", "evaluate", "--settings"):
        assert name in shown.stdout


def test_the_version_is_that_of_the_package() -> None:
    asked = run("-m", "sam_inspect", "--version")
    assert (asked.returncode, asked.stdout) == (0, version("sam-inspect") + "\n")


def test_a_users_mistake_is_one_sentence_on_standard_error_and_exit_code_1() -> None:
    ended = run("-m", "sam_inspect", "download", "nanno")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("sam-inspect: There is no model 'nanno'")
    assert len(ended.stderr.splitlines()) == 1


def test_a_wrong_option_is_exit_code_2() -> None:
    assert run("-m", "sam_inspect", "serve", "--portt", "1").returncode == 2
