"""Connects a running backend to a project of any Label Studio, or to an example project that it makes there."""

import ipaddress
from urllib.parse import urlsplit

from sam_backend.certificates import trusted_certificates
from sam_backend.demo.api import LabelStudioApi, Login
from sam_backend.demo.demo_error import DemoError
from sam_backend.demo.project import BACKEND_TITLE, built_in_images, import_images, open_project
from sam_backend.labelstudio.addresses import label_studio_address
from sam_backend.labelstudio.client import AccessTokens
from sam_backend.labelstudio.projects import find_project
from sam_backend.labelstudio.servers import Server, ServerRegistry
from sam_backend.labelstudio.transport import Transport
from sam_backend.progress import ProgressCallback
from sam_backend.safe_text import safe_line
from sam_backend.settings import Settings

_TIMEOUT = 10.0  # seconds, for a short-lived token


def connect_project(
    settings: Settings, backend: str, *, project: int | None, example: bool, progress: ProgressCallback
) -> tuple[int, str]:
    """Make the backend the model of a project, with its password for clicks and for the webhook.

    Parameters
    ----------
    settings : Settings, with the address and the token of Label Studio, if the home does not know that of the project,
        and the backend's user and password if it asks for them.
    backend : str, the address of the backend as Label Studio reaches it.
    project : int, the project's id; None with `example`.
    example : bool, whether a project with the built-in images is made, or what is missing of it.
    progress : callable, is told which image is imported.

    Returns
    -------
    int and str, the id of the project, and the address of its Label Studio.

    Raises
    ------
    SamInspectError
        If something is missing, or Label Studio refuses.
    """
    if (project is None) != example:
        raise DemoError("Give either the --project to connect, or --example.")
    server = _server(settings, project)
    if not _is_address(backend):
        raise DemoError(f"The address of the backend is {safe_line(backend)!r}; the form is http://10.0.0.5:9090.")
    if not _takes_webhook(backend):
        raise DemoError(
            f"Label Studio makes no webhook to {backend}, because the name has no dot, and nothing would be learnt; "
            "give the backend a name such as sam-inspect.internal, or its IP address."
        )
    token = AccessTokens(_TIMEOUT, Transport.of_settings(settings)).of(server)
    with LabelStudioApi(server.hostname, token, certificates=trusted_certificates(settings.ca_bundle)) as api:
        if project is None:
            source = built_in_images(settings.cache / "example")
            project = open_project(api, source)
            import_images(api, project, source, progress)
        api.connect_backend(project, backend.rstrip("/"), BACKEND_TITLE, _login(settings))
    return project, server.shown


def _server(settings: Settings, project: int | None) -> Server:
    """Return the Label Studio of the settings; without one, that of a project that the home knows."""
    url, key = settings.label_studio_url, settings.label_studio_api_key
    if url is not None and key is not None:
        return Server(label_studio_address(url, "The address of Label Studio", DemoError), key.get_secret_value())
    if url is None and key is None and project is not None:
        servers = ServerRegistry.of_settings(settings)
        if len(servers.uids(str(project))) == 1:
            return find_project(servers, str(project)).server
    raise DemoError(
        "Label Studio's address and a token are needed: give --label-studio and --token, or set "
        "SAM_INSPECT_LABEL_STUDIO_URL and SAM_INSPECT_LABEL_STUDIO_API_KEY."
    )


def _login(settings: Settings) -> Login | None:
    if not settings.basic_auth_user or settings.basic_auth_pass is None:
        return None
    return Login(settings.basic_auth_user, settings.basic_auth_pass.get_secret_value())


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        is_complete = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return is_complete and not (parts.username or parts.query or parts.fragment)


def _takes_webhook(url: str) -> bool:
    """Return whether Label Studio's check of addresses takes the host: it wants a dot in names."""
    host = urlsplit(url).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "." in host.rstrip(".") or host == "localhost"
    return True
