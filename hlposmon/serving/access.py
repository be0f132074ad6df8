"""Refuses requests that a foreign web page may have made, by Host, Origin and Sec-Fetch-Site. Pure.

A page in a browser on this machine can reach loopback like any program. Two checks stop it. The Host must be
one of our names, or the page's owner could let a name of their own point here (DNS rebinding). The Origin
must be our own, or one that the configuration names. A program that is not a browser sends no Origin and is
let in. Never in here: what a path means.
"""

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from hlposmon.serving.messages import Request, Response

# No answer may be cached, taken for a script, or loaded into a page of another origin.
GUARDS = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
_PORTS = {"http": 80, "https": 443}
_PREFLIGHT_S = 600
Place = tuple[str, int | None]


@dataclass(frozen=True, slots=True)
class Access:
    """Decides who may ask. `listen` is the TCP address as configured; hosts are `name` or `name:port`,
    origins `scheme://host[:port]`, all in lower case."""

    listen: str = ""
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()

    def refusal(self, request: Request) -> str | None:
        """Why this request is refused; None if it is allowed. The Host is checked on TCP only."""
        host = request.headers.get("host", "")
        if request.peer_uid is None and not self._is_ours(host):
            return f"the Host header names {host[:100]!r}, which is none of [tcp] allowed_hosts"
        origin = request.headers.get("origin")
        if origin is None:
            return _cross_site(request)
        if origin.lower() in self.allowed_origins or _is_same(origin, host):
            return None
        return f"the page at {origin[:100]!r} may not read this: it is none of [tcp] allowed_origins"

    def grants(self, request: Request) -> tuple[tuple[str, str], ...]:
        """The headers of an answer: GUARDS, and those that let an allowed page of another origin read it."""
        if not self.allowed_origins:
            return GUARDS
        origin = request.headers.get("origin", "")
        vary = ("Vary", "Origin")
        if origin.lower() not in self.allowed_origins:
            return (*GUARDS, vary)
        return (*GUARDS, vary, ("Access-Control-Allow-Origin", origin))

    def preflight(self, request: Request) -> Response | None:
        """The answer to a CORS preflight request for an allowed page; None for any other request."""
        wanted = request.headers.get("access-control-request-method", "")
        allowed = request.headers.get("origin", "").lower() in self.allowed_origins
        if request.method != "OPTIONS" or not wanted or not allowed:
            return None
        headers = [
            ("Access-Control-Allow-Methods", "GET"),
            ("Access-Control-Allow-Headers", "Accept, Cache-Control, Content-Type"),
            ("Access-Control-Max-Age", str(_PREFLIGHT_S)),
        ]
        if request.headers.get("access-control-request-private-network") == "true":
            headers.append(("Access-Control-Allow-Private-Network", "true"))
        return Response(200, headers=tuple(headers))

    def _is_ours(self, host: str) -> bool:
        place = _place(host)
        if place is None:
            return False
        name = place[0]
        if name == "localhost" or _is_loopback(name) or host.lower() in self.allowed_hosts:
            return True
        listened = (_place(self.listen) or ("", None))[0]
        # An IP address cannot be rebound; with a wildcard listener any address may be ours.
        return name in (listened, *self.allowed_hosts) or (_is_wildcard(listened) and _is_address(name))


def _cross_site(request: Request) -> str | None:
    """Why a load by another site's page (as a script, a picture) is refused; None if this is not one.
    Browsers send no Origin with these, but Sec-Fetch-Site."""
    site = request.headers.get("sec-fetch-site", "none")
    typed = request.headers.get("sec-fetch-dest") == "document"
    if site in ("none", "same-origin") or typed:
        return None
    return f"a page of another site ({site[:20]}) may not load this"


def _is_same(origin: str, host: str) -> bool:
    scheme, colon, rest = origin.lower().partition("://")
    if scheme not in _PORTS or not colon:
        return False
    page, here = _place(rest), _place(host)
    if page is None or here is None:
        return False
    default = _PORTS[scheme]
    return (page[0], page[1] or default) == (here[0], here[1] or default)


def _place(text: str) -> Place | None:
    """Split `host[:port]`, the host in lower case; None for any other text."""
    if not text or any(char in "@/?#\\, \t" for char in text):
        return None
    try:
        parts = urlsplit(f"//{text}")
        return (parts.hostname, parts.port) if parts.hostname else None
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(name: str) -> bool:
    return _is_address(name) and ip_address(name).is_loopback


def _is_wildcard(name: str) -> bool:
    return _is_address(name) and ip_address(name).is_unspecified
