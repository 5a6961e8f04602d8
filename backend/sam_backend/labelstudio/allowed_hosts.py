"""Which hosts a request on behalf of others may reach: public ones, and those that the operator allows."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Self

from sam_backend.errors import SamInspectError
from sam_backend.safe_text import escape_unprintable

SETTING = "SAM_INSPECT_ALLOW_HOST"

_NAME = re.compile(r"(?i)(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?")
_PUBLIC_PORTS = (80, 443)
_FREE_PORTS = 1024
"""From this port on, no well-known service of an operating system listens."""

_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
_LOCAL = tuple(
    ipaddress.ip_network(network)
    for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "0.0.0.0/32",
                    "::1/128", "::/128", "fc00::/7")
)  # fmt: skip
"""Where a Label Studio of the company's own can be: private networks and this machine, never link-local."""

IPAddress = IPv4Address | IPv6Address


@dataclass(frozen=True)
class _Entry:
    """One entry of the list: a name or a network, and a port or any.

    Attributes
    ----------
    name : str, lower case; `*.example.com` is every name below. Empty for a network.
    network : the network; None for a name.
    port : int; None for the ports that public hosts may use.
    """

    name: str
    network: IPv4Network | IPv6Network | None
    port: int | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `host`, `host:port`, `address`, `[address]:port` or `network/bits`; raises ValueError."""
        host, port = text, None
        if match := re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+):(\d{1,5})", text):
            host, port = match[1], int(match[2])
            if not 0 < port < 2**16:
                raise ValueError(text)
        try:
            return cls("", ipaddress.ip_network(host.strip("[]"), strict=False), port)
        except ValueError:
            if not _NAME.fullmatch(host) or re.fullmatch(r"[\d.]+", host):
                raise
        return cls(host.lower().rstrip("."), None, port)

    def allows(self, name: str, address: IPAddress, port: int) -> bool:
        if self.port is not None and port != self.port:
            return False
        if self.port is None and not _is_open(port):
            return False
        if self.network is not None:
            return address in self.network
        return name.endswith(self.name[1:]) if self.name.startswith("*.") else name == self.name


@dataclass(frozen=True)
class AllowedHosts:
    """The rule for every connection that somebody else's address causes: the resolved address must be allowed.

    Public addresses are allowed on the ports 80, 443 and from 1024 on. All others (private, loopback, link-local,
    multicast, reserved, and IPv6 forms of those) need an entry of the operator.
    """

    entries: tuple[_Entry, ...] = ()

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Parse a list of hosts and networks, separated by commas or spaces.

        Raises
        ------
        SamInspectError
            If an entry is neither a host nor a network.
        """
        entries = []
        for entry in re.split(r"[\s,]+", text or ""):
            try:
                entries += [_Entry.parse(entry)] if entry else []
            except ValueError:
                raise SamInspectError(
                    f"{SETTING} has the entry {escape_unprintable(entry)!r}, which is neither a host nor a network; "
                    "write for example images.example.com, 10.0.0.5:8080 or 192.168.0.0/16, without http://."
                ) from None
        return cls(tuple(entries))

    def allows(self, host: str, address: str, port: int) -> bool:
        """Return whether a host, resolved to an address, may be reached on a port."""
        ip = unmapped(address)
        if any(entry.allows(host.lower().rstrip("."), ip, port) for entry in self.entries):
            return True
        return _is_open(port) and is_public(ip)

    def named(self, host: str, port: int) -> bool:
        """Return whether an entry of the operator names this host or address itself, on this port."""
        try:
            address = unmapped(host)
        except ValueError:
            address = IPv4Address(0)
        return any(entry.allows(host.lower().rstrip("."), address, port) for entry in self.entries)


def unmapped(address: str) -> IPAddress:
    """Return an address; of an IPv6 address that stands for an IPv4 address, that one."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, IPv4Address):
        return ip
    if ip.ipv4_mapped:
        return ip.ipv4_mapped
    if ip.sixtofour:
        return ip.sixtofour
    if ip.teredo:
        return ip.teredo[1]
    if any(ip in network for network in _NAT64) or (int(ip) >> 32 == 0 and int(ip) > 1):
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip


def is_public(ip: IPAddress) -> bool:
    """Return whether anybody on the internet can have this address."""
    if isinstance(ip, IPv6Address) and ip.is_site_local:
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_link_local or ip.is_unspecified)


def may_be_label_studio(address: str) -> bool:
    """Return whether a Label Studio can have this address: a public one, a private one, or one of this machine."""
    ip = unmapped(address)
    return is_public(ip) or any(ip in network for network in _LOCAL if network.version == ip.version)


def _is_open(port: int) -> bool:
    return port in _PUBLIC_PORTS or port >= _FREE_PORTS
