from services import client, make_client, make_settings, segmenter  # noqa: F401 - fixtures
