import pytest

from colour_segmenter import ColourSegmenter, surface
from sam_backend.core.observer import Observer
from sam_backend.core.task_embeddings import TaskEmbeddings
from sam_backend.labelstudio.addresses import Origin
from sam_backend.labelstudio.servers import ServerRegistry
from sam_backend.segmenters.cache import EmbeddingCache

PRIVATE = Origin.of("http://10.0.0.5/")


class Images:
    """Fetches nothing, and notes which server of the labeling config it may use."""

    def fetch(self, url, server, task, *, configured=None):
        self.configured = configured
        return b""

    def decode(self, file, url):
        return surface(1, red=[(20, 30)])[0]


@pytest.mark.parametrize(("trusts", "used"), [(True, PRIVATE), (False, None)])
def test_a_server_that_a_labeling_config_names_counts_only_where_configs_are_trusted(tmp_path, trusts, used):
    images = Images()
    servers, cache = ServerRegistry(tmp_path), EmbeddingCache.of_megabytes(16, None, 0)
    embeddings = TaskEmbeddings(images, servers, cache, Observer(), trusts_configs=trusts)
    embeddings.fetch(ColourSegmenter(), "http://10.0.0.5/a.png", None, 1, configured=PRIVATE)
    assert images.configured == used
