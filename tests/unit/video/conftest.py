import pytest

pytest.importorskip("av", reason="needs the extra video")

from moving_shapes import moving_shapes, write_video


@pytest.fixture(scope="session")
def clip():
    """Two shapes that cross behind a bar."""
    return moving_shapes(1, frames=12, size=(96, 320))


@pytest.fixture(scope="session")
def clip_file(clip, tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_video(path, clip.frames)
    return path
