"""Which certificates of servers are trusted: those of the system, of certifi, and the company's own."""

from __future__ import annotations

import os
import ssl
from functools import cache
from pathlib import Path

import certifi

from sam_backend.errors import SamInspectError

SETTING = "SAM_INSPECT_CA_BUNDLE"

_OTHER_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""Variables of other programs with the same meaning."""


def trusted_certificates(bundle: Path | None = None) -> ssl.SSLContext:
    """Return the TLS settings of all connections.

    Parameters
    ----------
    bundle : Path, a file of certificates (PEM) that are trusted too, or a folder of them; None for the one that
        REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, SSL_CERT_FILE or SSL_CERT_DIR names, if any. As for Label Studio's own
        tools, VERIFY_SSL=false trusts every certificate.

    Raises
    ------
    SamInspectError
        If the bundle cannot be read.
    """
    named = [(SETTING, str(bundle))] if bundle else [(name, os.environ.get(name, "")) for name in _OTHER_VARIABLES]
    verify = os.environ.get("VERIFY_SSL", "").strip().lower() not in ("0", "false", "no", "off")
    return _context(tuple((name, place) for name, place in named if place), verify)


@cache
def _context(named: tuple[tuple[str, str], ...], verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    # Certificates that companies make lack what the strict check of Python 3.13 asks for. A server's own certificate
    # may be given instead of that of its authority.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    for name, place in named:
        try:
            context.load_verify_locations(**{"capath" if os.path.isdir(place) else "cafile": place})
        except (OSError, ssl.SSLError) as error:
            raise SamInspectError(
                f"{name} is {place!r}, from which no certificate can be read "
                f"({error.strerror or type(error).__name__}); give a file of certificates in the form PEM, or "
                "leave it out."
            ) from None
    return context
