"""What OpenSSL says of a channel that failed, in words that say what to do."""

from __future__ import annotations

import ssl

__all__ = ["reason", "verdict"]

_AS_CA = "as ca= (of a session: verify=)"
_UNKNOWN = (
    f"its issuer is not trusted: pass that one's certificate {_AS_CA}, or let the peer send its whole chain"
)
_VERDICTS = {
    9: "its validity has not begun; check the clocks of both sides",
    10: "renew it, or check this computer's clock",
    18: f"to trust just this one, pass it {_AS_CA}",
    19: f"its chain ends in a root that is not trusted; pass that root {_AS_CA}",
    20: _UNKNOWN,
    21: _UNKNOWN,
    23: "it was revoked",
    26: "it was issued for another purpose",
    62: "use a name that the certificate covers, or give the right one as server_name=",
    64: "use a name that the certificate covers, or give the right one as server_name=",
}
"""What to do, by ``X509_V_ERR_*``."""


def verdict(error: ssl.SSLCertVerificationError) -> str:
    """Why a certificate was refused, and what to do."""
    found = (error.verify_message or str(error)).rstrip(".")
    advice = _VERDICTS.get(error.verify_code)
    return f"{found} ({advice})" if advice else found


_NO_TLS = "the peer does not speak TLS here"
_NO_VERSION = "no version of TLS in common"
_REASONS = {
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "HTTP_REQUEST": f"{_NO_TLS}: it sent a plain HTTP request",
    "HTTPS_PROXY_REQUEST": f"{_NO_TLS}: it sent a plain HTTP proxy request",
    "PACKET_LENGTH_TOO_LONG": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "UNSUPPORTED_PROTOCOL": _NO_VERSION,
    "VERSION_TOO_LOW": _NO_VERSION,
    "NO_PROTOCOLS_AVAILABLE": _NO_VERSION,
    "NO_SHARED_CIPHER": "no cipher in common",
    "NO_SUITABLE_SIGNATURE_ALGORITHM": "no signature algorithm in common",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "a client certificate is required, and the client sent none",
    "NO_RENEGOTIATION": "renegotiation is refused",
}
"""By OpenSSL's reason, for errors found on this side."""

_OUR_CERTIFICATE = "the peer refused our certificate"
_ALERTS = {
    "CERTIFICATE_REQUIRED": "the server wants a client certificate: give certificate= (of a session: cert=)",
    "UNKNOWN_CA": f"{_OUR_CERTIFICATE}: it does not trust the authority that issued it",
    "BAD_CERTIFICATE": f"{_OUR_CERTIFICATE}",
    "UNSUPPORTED_CERTIFICATE": f"{_OUR_CERTIFICATE}: wrong kind or purpose",
    "CERTIFICATE_REVOKED": f"{_OUR_CERTIFICATE}: revoked",
    "CERTIFICATE_EXPIRED": f"{_OUR_CERTIFICATE}: expired",
    "CERTIFICATE_UNKNOWN": f"{_OUR_CERTIFICATE}",
    "ACCESS_DENIED": f"{_OUR_CERTIFICATE}: access denied",
    "PROTOCOL_VERSION": _NO_VERSION,
    "HANDSHAKE_FAILURE": "the peer found no cipher or setting in common (or wants a client certificate)",
    "INSUFFICIENT_SECURITY": "the peer demands stronger ciphers",
    "NO_APPLICATION_PROTOCOL": "no application protocol (ALPN) in common",
    "UNRECOGNIZED_NAME": "the server does not know the name that was asked for",
}
"""By the name of the alert that the peer sent (RFC 8446, 6.2)."""


def reason(error: ssl.SSLError) -> str:
    """What went wrong in a channel, on either side."""
    said = error.reason or str(error)
    alert = said.replace(" ", "_").upper().rpartition("ALERT_")[2]
    if "ALERT" in said.upper() and alert in _ALERTS:
        return _ALERTS[alert]
    return _REASONS.get(said) or said.replace("_", " ").lower()
