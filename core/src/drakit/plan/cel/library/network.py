"""Kubernetes' IP addresses, CIDRs and URLs."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from drakit.plan.cel.errors import CelRuntimeError
from drakit.plan.cel.library.overload import overload
from drakit.plan.cel.values import Address, Cidr, Url


def _ip(text: str) -> Address:
    try:
        address = ip_address(text)
    except ValueError:
        raise CelRuntimeError(f"IP Address {text!r} parse error during conversion from string") from None
    if isinstance(address, IPv6Address) and (address.scope_id or address.ipv4_mapped):
        raise CelRuntimeError(f"IP Address {text!r}: zones and IPv4-mapped addresses are not allowed")
    return address


def _cidr(text: str) -> Cidr:
    address, slash, prefix = text.partition("/")
    canonical = slash and prefix.isascii() and prefix.isdigit() and str(int(prefix[:4])) == prefix
    parsed = _ip(address)
    if not canonical or int(prefix) > parsed.max_prefixlen:
        raise CelRuntimeError(f"network address parse error during conversion from string: {text!r}")
    return Cidr(parsed, int(prefix))


def _url(text: str) -> Url:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise CelRuntimeError(f"URL parse error during conversion from string: {text!r}") from None
    if any(character <= " " or character == "\x7f" for character in text) or not (
        text.startswith("/") or (parts.scheme and text.isprintable() and (parts.netloc or parts.path.startswith("/")))
    ):
        raise CelRuntimeError(f"URL parse error during conversion from string: {text!r}")
    return Url(parts)


def _parses(convert: Callable[[str], Any]) -> Callable[[str], bool]:
    def attempt(text: str) -> bool:
        try:
            convert(text)
        except CelRuntimeError:
            return False
        return True

    return attempt


def _is_global(address: Address) -> bool:
    broadcast = isinstance(address, IPv4Address) and int(address) == 0xFFFFFFFF
    return not (
        broadcast or address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local
    )


def _is_link_local_multicast(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return int(address) >> 8 == 0xE00000
    return int(address) >> 112 & 0xFF0F == 0xFF02


def _contains(cidr: Cidr, address: Address) -> bool:
    return address.version == cidr.address.version and address in cidr.network


def _contains_cidr(outer: Cidr, inner: Cidr) -> bool:
    return outer.prefix <= inner.prefix and _contains(outer, inner.address)


def _host(url: Url) -> str:
    return url.parts.netloc.rpartition("@")[2]


def _hostname(url: Url) -> str:
    host = _host(url)
    return host[1:].partition("]")[0] if host.startswith("[") else host.rpartition(":")[0] or host


OVERLOADS = [
    overload("ip(string) -> IP", _ip),
    overload("isIP(string) -> bool", _parses(_ip)),
    overload("ip.isCanonical(string) -> bool", lambda text: str(_ip(text)) == text),
    overload("<IP>.family() -> int", lambda address: address.version),
    overload("<IP>.isUnspecified() -> bool", lambda address: address.is_unspecified),
    overload("<IP>.isLoopback() -> bool", lambda address: address.is_loopback),
    overload("<IP>.isLinkLocalUnicast() -> bool", lambda address: address.is_link_local),
    overload("<IP>.isLinkLocalMulticast() -> bool", _is_link_local_multicast),
    overload("<IP>.isGlobalUnicast() -> bool", _is_global),
    overload("string(IP) -> string", str),
    overload("cidr(string) -> CIDR", _cidr),
    overload("isCIDR(string) -> bool", _parses(_cidr)),
    overload("<CIDR>.containsIP(IP) -> bool", _contains),
    overload("<CIDR>.containsIP(string) -> bool", lambda cidr, text: _contains(cidr, _ip(text))),
    overload("<CIDR>.containsCIDR(CIDR) -> bool", _contains_cidr),
    overload("<CIDR>.containsCIDR(string) -> bool", lambda cidr, text: _contains_cidr(cidr, _cidr(text))),
    overload("<CIDR>.ip() -> IP", lambda cidr: cidr.address),
    overload("<CIDR>.masked() -> CIDR", lambda cidr: Cidr(cidr.network.network_address, cidr.prefix)),
    overload("<CIDR>.prefixLength() -> int", lambda cidr: cidr.prefix),
    overload("string(CIDR) -> string", str),
    overload("url(string) -> URL", _url),
    overload("isURL(string) -> bool", _parses(_url)),
    overload("<URL>.getScheme() -> string", lambda url: url.parts.scheme),
    overload("<URL>.getHost() -> string", _host),
    overload("<URL>.getHostname() -> string", _hostname),
    overload("<URL>.getPort() -> string", lambda url: "" if url.parts.port is None else str(url.parts.port)),
    overload("<URL>.getEscapedPath() -> string", lambda url: quote(url.parts.path, safe="/%:@!$&'()*+,;=~")),
    overload(
        "<URL>.getQuery() -> map(string, list(string))",
        lambda url: {key: tuple(values) for key, values in parse_qs(url.parts.query, keep_blank_values=True).items()},
    ),
]
