"""Connecting a project: a known project keeps its Label Studio unless the caller proves to belong there."""

from __future__ import annotations

import logging

from sam_backend.errors import BadRequestError, ImageServerError
from sam_backend.labelstudio.addresses import Origin, label_studio_address
from sam_backend.labelstudio.allowed_hosts import may_be_label_studio
from sam_backend.labelstudio.client import AccessTokens, RefusedTokenError
from sam_backend.labelstudio.connections import FetchDeadline, TransportError
from sam_backend.labelstudio.servers import Server, ServerRegistry, checked_token
from sam_backend.labelstudio.transport import HttpRequest
from sam_backend.safe_text import escape_unprintable

logger = logging.getLogger(__name__)

_TIMEOUT = 3.0
"""Seconds that a known Label Studio has to say whether it knows a token."""

_MAX_BYTES = 2**26


class UnprovenHostError(BadRequestError):
    """A known project is to get another Label Studio without a proof (HTTP 403)."""

    status = 403


def connect_project(servers: ServerRegistry, project: str, hostname: str, token: str) -> None:
    """Remember the Label Studio of a project.

    Whoever may send requests could otherwise lead the images and the tokens of a known project elsewhere. So another
    address needs a token that the known Label Studio accepts for this project, or that the operator's settings name
    the address.

    Parameters
    ----------
    servers : ServerRegistry, remembers it.
    project : str, the project's uid.
    hostname, token : str, the address of the Label Studio, and its token.

    Raises
    ------
    BadRequestError
        If the hostname is no address of a Label Studio.
    UnprovenHostError
        If the project is known with another address, and the caller cannot prove to belong there.
    """
    token = checked_token(token, "The access token", BadRequestError)
    address = label_studio_address(hostname, "The hostname of Label Studio (LABEL_STUDIO_HOST where it runs)")
    _refuse_impossible(servers, address)
    registered, known = servers.registered(project), servers.find(project)
    if registered is not None and known is not None:
        target = servers.effective(address)
        is_new_host = target != known.hostname and address != registered.hostname
        if is_new_host and not servers.is_configured(target) and not _accepts(servers, known, project, token):
            raise UnprovenHostError(
                f"Project {escape_unprintable(project)[:80]} is known with its Label Studio at {known.shown}, which "
                "does not accept the token of this request for it; its address is not changed. If it moved, set "
                "SAM_INSPECT_LABEL_STUDIO_URL to the new address where this backend runs, restart it, and connect "
                "again."
            )
        if (
            not is_new_host
            and registered.token
            and token != registered.token
            and _refuses(servers, known, project, token)
        ):
            logger.warning(
                "Project %s keeps its token: %s does not accept the one that it was given now.",
                escape_unprintable(project)[:80],
                known.shown,
            )
            return
    try:
        servers.remember(project, address, token)
    except OSError as error:
        logger.warning("The address of Label Studio is not kept across a restart: %s", error)


def _refuse_impossible(servers: ServerRegistry, address: str) -> None:
    """Refuse an IP address that no Label Studio has; a name is checked whenever it is connected to."""
    origin = Origin.of(address)
    assert origin is not None
    try:
        is_possible = may_be_label_studio(origin.host)
    except ValueError:
        return
    if not is_possible and not servers.transport.allowed.named(origin.host, origin.port):
        raise BadRequestError(
            f"The hostname of Label Studio is {address}, an address that no Label Studio has (link-local, multicast or "
            "reserved); set LABEL_STUDIO_HOST where it runs to the one that its users open."
        )


def _accepts(servers: ServerRegistry, known: Server, project: str, token: str) -> bool:
    return bool(token) and _status(servers, known, project, token) == 200


def _refuses(servers: ServerRegistry, known: Server, project: str, token: str) -> bool:
    return not token or _status(servers, known, project, token) in (401, 403)


def _status(servers: ServerRegistry, known: Server, project: str, token: str) -> int:
    """Return the status with which a Label Studio answers a token about a project; 401 for a token it cannot renew."""
    number = project.partition(".")[0]
    if not number.isascii() or not number.isdigit():
        return 0
    server, deadline = Server(known.hostname, token), FetchDeadline(_TIMEOUT)
    try:
        header = AccessTokens(_TIMEOUT, servers.transport).header(server, deadline)
        address = f"{known.hostname}/api/projects/{number}/"
        request = HttpRequest(address, Origin.of(known.hostname), lambda url: header)
        return servers.transport.send(request, deadline, _MAX_BYTES).status
    except RefusedTokenError:
        return 401
    except (TransportError, ImageServerError):
        return 0
