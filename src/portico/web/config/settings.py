"""All that can be said of a server: the keys of ``portico.toml``, their defaults, and what they are about.

The command line's options, the file and ``--print-config`` all speak of these, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from portico.admission import Admission
from portico.limits import Limits
from portico.sockets.proxy_protocol import ProxyProtocol
from portico.web.config.kinds import (
    address,
    choice,
    engine,
    existing,
    file,
    flag,
    limits,
    listed,
    named,
    network,
    number,
    one_or_more,
    rate,
    size,
    table,
    whole,
)
from portico.web.config.mount import Auth, Headers, MountSettings
from portico.web.config.mounts import mount
from portico.web.config.reading import Place, setting
from portico.web.forwarded import Forwarded
from portico.web.log_lines import FORMATS
from portico.web.metrics import BUCKETS, Metrics

__all__ = [
    "TLS", "AdmissionSettings", "Certificate", "ForwardedSettings", "LogSettings", "MetricsSettings",
    "ProxyProtocolSettings", "Settings",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """``[tls.names."other.example"]``: the certificate for another name."""

    certificate: str = setting(existing, about="The chain, as PEM.")
    key: str | None = setting(existing, None, "Its private key, where it is not in the same file.")


@dataclass(frozen=True, kw_only=True)
class TLS:
    """``[tls]``: certificates for the addresses that are secure."""

    certificate: str | None = setting(existing, None, "The chain, as PEM.")
    key: str | None = setting(existing, None, "Its private key, where it is not in the same file.")
    self_signed: bool = setting(
        flag, False, "A certificate for development instead, that nobody vouches for."
    )
    minimum: str = setting(choice("1.2", "1.3"), "1.2", "The oldest version of TLS that is spoken.")
    client_ca: str | None = setting(
        existing, None, "Who vouches for clients, which are then asked for a certificate."
    )
    require_client_certificate: bool = setting(flag, False, "Refuse clients without one.")
    names: Mapping[str, Certificate] = setting(
        named(table(Certificate)), dict, "Other certificates, by name."
    )


@dataclass(frozen=True, kw_only=True)
class AdmissionSettings:
    """``[admission]``: who may connect."""

    allow: Sequence[str] = setting(listed(network), tuple, "Only these networks; everybody without.")
    deny: Sequence[str] = setting(listed(network), tuple, "Not these, whoever else is let in.")
    max_connections: int | None = setting(whole(1), None, "Refuse more at once.")
    max_per_peer: int | None = setting(whole(1), None, "And more of one peer (IPv6: of one /64).")
    rate: str | None = setting(rate, None, "New connections of one peer, as 10/s or 100/m:20.")

    def admission(self) -> Admission | None:
        """The same, as a server takes it; ``None`` without any rule."""
        if self == AdmissionSettings():
            return None
        return Admission(
            allow=self.allow or None,
            deny=self.deny,
            max_connections=self.max_connections,
            max_per_peer=self.max_per_peer,
            rate=self.rate,
        )


def _buckets(value: Any, place: Place) -> tuple[float, ...]:
    found: tuple[float, ...] = listed(number(0.000001))(value, place)
    Metrics(found)
    return found


@dataclass(frozen=True, kw_only=True)
class LogSettings:
    """``[log]``: what is written to stderr."""

    level: str = setting(choice("warning", "info", "debug"), "warning", "From which level on.")
    access: bool | None = setting(
        flag, None, "A line for each request; true, where anything is said of these lines."
    )
    file: str | None = setting(file, None, "Where these lines go; without it to stderr.")
    format: str = setting(choice(*FORMATS), "common", "How they look: common, combined or json.")
    sample: float = setting(
        number(0.000001, 1), 1.0, "The share of requests that get one; failures always do."
    )

    @property
    def wanted(self) -> bool:
        """Whether requests get their lines: who says where they go, or how they look, wants to see them."""
        return self != LogSettings(level=self.level) if self.access is None else self.access


@dataclass(frozen=True, kw_only=True)
class ForwardedSettings:
    """``[forwarded]``: proxies in front, whose word is taken for who really asks."""

    trusted: Sequence[str] = setting(
        listed(network), tuple, "Their networks; nobody's word is taken without."
    )
    fields: str = setting(
        choice("x", "rfc", "both"), "x", "X-Forwarded-*, Forwarded, or both, which must agree."
    )

    def forwarded(self) -> Forwarded | None:
        """The same, as a server takes it; ``None`` where nobody is trusted."""
        return Forwarded(self.trusted, fields=self.fields) if self.trusted else None


@dataclass(frozen=True, kw_only=True)
class ProxyProtocolSettings:
    """``[proxy_protocol]``: proxies that say who is there before the first byte of a connection."""

    trusted: Sequence[str] = setting(listed(network), tuple, "Their networks; it is off without.")
    on: Sequence[str] = setting(listed(address), tuple, "The addresses where it is on; all without.")

    def proxy_protocol(self) -> ProxyProtocol | None:
        """The same, as a server takes it; ``None`` where it is off."""
        return ProxyProtocol(self.trusted, on=self.on) if self.trusted else None


@dataclass(frozen=True, kw_only=True)
class MetricsSettings:
    """``[metrics]``: figures for Prometheus, over all processes, at an address of their own."""

    listen: str | None = setting(
        address, None, "Where, as in http://127.0.0.1:9100; nothing is counted without."
    )
    buckets: Sequence[float] = setting(
        _buckets, lambda: BUCKETS, "Bounds of the histogram of times, in seconds."
    )

    def metrics(self) -> Metrics | None:
        """What counts; ``None`` where nothing is to be counted."""
        return None if self.listen is None else Metrics(self.buckets)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One server. ``listen`` empty: the sockets of a service manager, or 127.0.0.1:8000."""

    listen: Sequence[str] = setting(one_or_more(address), tuple, 'Where to listen, as in "https://:8443".')
    engine: str = setting(
        engine, "threads", "threads[:N], events[:N], inline, forks[:N] or workers[:N][/ENGINE]."
    )
    workers: int | None = setting(whole(1), None, "So many processes, with the engine in each.")
    max_requests: int | None = setting(whole(1), None, "A worker is replaced after so many requests,")
    max_memory: int | None = setting(size, None, "and when it holds more memory,")
    max_age: float | None = setting(number(0.001), None, "and after so many seconds.")
    python_path: Sequence[str] = setting(
        listed(existing), tuple, "Folders that programs are imported from, before the current one."
    )
    grace: float = setting(number(0, 1e6), 10.0, "At the end, seconds for what is going on.")
    https_only: bool = setting(flag, False, "Send clients that ask without TLS to the same place with it.")
    tls: TLS = setting(table(TLS), TLS, "Certificates.")
    admission: AdmissionSettings = setting(table(AdmissionSettings), AdmissionSettings, "Who may connect.")
    limits: Mapping[str, Any] = setting(limits, dict, "Bounds that differ from the defaults.")
    forwarded: ForwardedSettings = setting(
        table(ForwardedSettings), ForwardedSettings, "Proxies in front that are believed."
    )
    proxy_protocol: ProxyProtocolSettings = setting(
        table(ProxyProtocolSettings), ProxyProtocolSettings, "Connections that say first who is there."
    )
    request_ids: bool = setting(flag, False, "A name for each request: in X-Request-ID, and in the logs.")
    metrics: MetricsSettings = setting(table(MetricsSettings), MetricsSettings, "Figures for Prometheus.")
    log: LogSettings = setting(table(LogSettings), LogSettings, "What is logged.")
    headers: Headers = setting(table(Headers), Headers, "Changes to the fields of all answers.")
    auth: Auth | None = setting(table(Auth), None, "Who is let in, wherever a mount says nothing else.")
    mount: Sequence[MountSettings] = setting(listed(mount), tuple, "What answers where.")

    @property
    def bounds(self) -> Limits:
        """The limits in force."""
        return Limits().but(**self.limits)
