"""Which requests a web page or a foreign name could have made: Host, Origin, Sec-Fetch-Site. Pure.

A page in a browser on this machine reaches loopback like any program. Two things stop it: the name that it
asked for must be one of ours, or the page's owner could let a name of his point here (DNS rebinding);
and the page itself must have come from us, or be one that the configuration names. A program that is no
browser sends no Origin and is let in. Never in here: what a path means.
"""

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from hlposmon.serving.messages import Request, Response

# Nothing served here may be kept, taken for a script, or loaded into a page of another origin.
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
    """`listen` is the TCP place as configured. Hosts are `name` or `name:port`, origins `scheme://host[:port]`,
    all in lower case."""

    listen: str = ""
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()

    def refusal(self, request: Request) -> str | None:
        """Why this request is not answered; None when it may be. The Host counts on TCP alone."""
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
        """The headers by which a browser lets an allowed page of another origin read the answer."""
        if not self.allowed_origins:
            return GUARDS
        origin = request.headers.get("origin", "")
        vary = ("Vary", "Origin")
        if origin.lower() not in self.allowed_origins:
            return (*GUARDS, vary)
        return (*GUARDS, vary, ("Access-Control-Allow-Origin", origin))

    def preflight(self, request: Request) -> Response | None:
        """The answer to a browser that asks whether an allowed page may ask; None for anything else."""
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
        # Nobody can let an address point elsewhere; which of them are ours, a wildcard leaves open.
        return name in (listened, *self.allowed_hosts) or (_is_wildcard(listened) and _is_address(name))


def _cross_site(request: Request) -> str | None:
    """A page loads us as a script or a picture: a browser that says so sends no Origin."""
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
    """`host[:port]` taken apart, the host in lower case; None for anything more, less or else."""
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
