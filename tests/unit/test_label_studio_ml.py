"""Where label-studio-ml is not installed."""

import sys

import pytest


@pytest.mark.parametrize("missing", ["flask", "label_studio_ml.exceptions"])
def test_without_label_studio_ml_the_import_says_in_one_sentence_what_to_install(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, "sam_backend.label_studio_ml", raising=False)
    with pytest.raises(ImportError, match=r"needs label-studio-ml.* pip install --no-deps git\+https") as caught:
        import sam_backend.label_studio_ml  # noqa: F401
    assert missing.partition(".")[0] in str(caught.value)
    assert "\n" not in str(caught.value)
