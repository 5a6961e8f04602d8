import pytest

from sam_backend.errors import SamInspectError
from sam_backend.labelstudio.allowed_hosts import AllowedHosts, may_be_label_studio

PRIVATE = [
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "127.0.0.1",
    "127.9.9.9",
    "0.0.0.0",
    "100.64.0.1",
    "169.254.169.254",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "192.0.2.1",
    "198.18.0.1",
    "::1",
    "::",
    "fe80::1%eth0",
    "fc00::1",
    "ff02::1",
    "fec0::1",
    "::ffff:127.0.0.1",
    "::ffff:a9fe:a9fe",
    "::127.0.0.1",
    "2002:7f00:1::",
    "2002:0a00:0001::1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::a00:1",
    "2001:0:0:0:0:0:80ff:fffe",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_public_is_refused_in_every_form(address):
    assert not AllowedHosts().allows("images.example", address, 80)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_a_public_address_is_allowed_on_the_ports_of_web_servers(address):
    ports = [port for port in (22, 25, 80, 443, 445, 8080) if AllowedHosts().allows("images.example", address, port)]
    assert ports == [80, 443, 8080]


@pytest.mark.parametrize(
    ("entry", "host", "address", "port", "allowed"),
    [
        ("10.0.0.5", "x", "10.0.0.5", 8080, True),
        ("10.0.0.5", "x", "10.0.0.6", 8080, False),
        ("10.0.0.5", "x", "::ffff:10.0.0.5", 8080, True),
        ("10.0.0.5", "x", "10.0.0.5", 22, False),
        ("10.0.0.5:81", "x", "10.0.0.5", 81, True),
        ("10.0.0.5:81", "x", "10.0.0.5", 80, False),
        ("[::1]:8080", "x", "::1", 8080, True),
        ("fc00::/7", "x", "fd12::1", 80, True),
        ("192.168.0.0/16", "x", "192.168.7.7", 443, True),
        ("Images.Factory", "images.factory", "10.1.1.1", 80, True),
        ("images.factory", "images.factory.evil.example", "10.1.1.1", 80, False),
        ("*.factory", "images.factory", "10.1.1.1", 80, True),
        ("*.factory", "factory", "10.1.1.1", 80, False),
        ("images.factory:8443, 10.0.0.5", "images.factory", "10.1.1.1", 8443, True),
        ("127.0.0.1", "x", "169.254.169.254", 80, False),
    ],
)
def test_an_entry_allows_what_it_names_and_nothing_else(entry, host, address, port, allowed):
    assert AllowedHosts.parse(entry).allows(host, address, port) is allowed


@pytest.mark.parametrize("entry", ["http://x", "10.0.0.0/99", "x:99999", "a b/c", "999.1.1.1", "x:", "-x"])
def test_an_entry_that_is_no_host_is_refused_with_the_right_form(entry):
    with pytest.raises(SamInspectError, match=r"SAM_INSPECT_ALLOW_HOST has the entry .*; write for example"):
        AllowedHosts.parse(entry)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.1.1", "8.8.8.8", "::1", "fd00::1", "0.0.0.0", "100.64.0.1"])
def test_a_label_studio_may_be_on_this_machine_and_in_private_networks(address):
    assert may_be_label_studio(address)


@pytest.mark.parametrize("address", ["169.254.169.254", "224.0.0.1", "fe80::1", "::ffff:169.254.169.254", "240.0.0.1"])
def test_a_label_studio_is_never_link_local_multicast_or_reserved(address):
    assert not may_be_label_studio(address)
