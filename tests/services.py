"""Applications for tests, assembled as `sam-inspect serve` assembles its own."""

from sam_backend.core.backend import assemble
from sam_backend.service.app import create_app
from sam_backend.service.metrics import Metrics


def make_app(segmenter, settings, **options):
    """Return an application; its backend is `app.state.backend`."""
    metrics = Metrics()
    backend = assemble(segmenter, settings, observer=metrics, **options)
    app = create_app(backend, settings, metrics)
    app.state.backend = backend
    return app
