import json
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def imported():
    """The modules in a process that is ready to listen."""
    code = "import json, sys; import sam_backend.service.server; print(json.dumps(list(sys.modules)))"
    return set(json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout))


@pytest.mark.parametrize(
    "package",
    [
        "cv2",
        "fastapi",
        "label_studio_sdk.label_interface",
        "matplotlib",
        "numpy",
        "onnxruntime",
        "pandas",
        "pyarrow",
        "scipy.cluster",
        "scipy.optimize",
        "skimage",
        "torch",
    ],
)
def test_a_service_listens_before_slow_packages_are_imported(imported, package):
    assert package not in imported
