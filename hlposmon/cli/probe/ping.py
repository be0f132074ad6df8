"""The dead man's switch: reports each check to a URL, so that the other side notices when reports stop.

It follows healthchecks.io (https://healthchecks.io/docs/http_api/): a POST to `URL` for success or
`URL/STATUS` for a failure, with the plugin's line as body. The URL is a secret, since anyone who knows it
could keep reporting success. It is therefore read from a file, and messages show only its scheme and host.
"""

from __future__ import annotations

import os
import stat
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTPException, HTTPMessage
from typing import IO
from urllib.parse import SplitResult, urlsplit, urlunsplit

from hlposmon import __version__

TOTAL_S, ATTEMPT_S, PAUSE_S, ATTEMPTS = 5.0, 2.0, 0.3, 3
FILE_BYTES, BODY_BYTES = 8192, 10_000
# Statuses worth a retry, as for curl's --retry.
TRANSIENT = (408, 429, 500, 502, 503, 504)


class NoPing(Exception):
    """The ping failed. The message says why and contains no secret."""


def send(file: str, status: int, text: str, say: Callable[[str], None]) -> None:
    """Ping the URL in `file` with a status (0 is success), within TOTAL_S. Never raises NoPing.

    `text` is the body, cut to BODY_BYTES. Failures are passed to `say`, one sentence each.
    """
    try:
        url, mode = read_url(file)
        if mode & stat.S_IROTH:
            say(f"{file} can be read by everybody, and its URL is a secret: chmod o-r {file}")
        _within(TOTAL_S, place(url), lambda: _ping(url, status, text.encode()[:BODY_BYTES]))
    except NoPing as error:
        say(f"no ping: {error}")


def read_url(file: str) -> tuple[SplitResult, int]:
    """The URL in the first line of the file that is neither blank nor a comment, and the file's mode
    (st_mode).

    Raises NoPing if the file cannot be read or the line is no http or https URL without credentials.
    """
    try:
        # O_NONBLOCK: a pipe without a writer must not block the check.
        with open(os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            raw = opened.read(FILE_BYTES) or b""
    except OSError as error:
        raise NoPing(f"{file}: {(error.strerror or 'cannot be read').lower()}") from None
    lines = (line.strip() for line in raw.decode("utf-8-sig", "replace").splitlines())
    text = next((line for line in lines if line and not line.startswith("#")), None)
    if text is None:
        raise NoPing(f"{file} holds no URL; put one line such as https://hc-ping.com/... into it")
    try:
        url = urlsplit(text)
        is_url = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        is_url = False
    if not is_url or not text.isascii() or not text.isprintable() or " " in text:
        raise NoPing(f"the first line of {file} is no http or https URL")
    if "@" in url.netloc:
        raise NoPing(f"the URL in {file} holds a user or a password, which is not supported")
    return url, mode


def target(url: SplitResult, status: int) -> str:
    """The URL to call: unchanged for success, with `/STATUS` appended to its path for a failure."""
    path = url.path if status == 0 else f"{url.path.rstrip('/')}/{status}"
    return urlunsplit((url.scheme, url.netloc, path, url.query, ""))


def place(url: SplitResult) -> str:
    """The part of the URL that messages may show: scheme and host."""
    return f"{url.scheme}://{url.hostname}"


def _ping(url: SplitResult, status: int, body: bytes) -> None:
    """Make up to ATTEMPTS attempts within TOTAL_S. Raises NoPing if none succeeds."""
    deadline = time.monotonic() + TOTAL_S
    for attempt in range(1, ATTEMPTS + 1):
        left_s = deadline - time.monotonic()
        try:
            _post(target(url, status), body, max(0.1, min(ATTEMPT_S, left_s)))
            return
        except urllib.error.HTTPError as error:
            error.close()
            reason, again = f"status {error.code}{_phrase(error.code)}", error.code in TRANSIENT
        except urllib.error.URLError as error:
            reason, again = _reason(error.reason), True
        except (OSError, HTTPException, ValueError) as error:
            reason, again = _reason(error), True
        if not again or attempt == ATTEMPTS or deadline - time.monotonic() < 2 * PAUSE_S:
            raise NoPing(f"{place(url)} did not take it: {reason}")
        time.sleep(PAUSE_S)


def _post(url: str, body: bytes, timeout_s: float) -> None:
    request = urllib.request.Request(url, body, method="POST")
    request.add_header("Content-Type", "text/plain; charset=utf-8")
    request.add_header("User-Agent", f"hlposmon/{__version__}")
    # Not build_opener: that would follow redirects to ftp: and file: as well.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    with opener.open(request, timeout=timeout_s) as answer:
        answer.read(1024)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects of any status with the same POST and body, but never from https to http."""

    max_redirections = 3

    def http_error_302(self, req, fp, code, msg, headers):  # type: ignore[no-untyped-def]
        """Follow the redirect without its body, which urllib would read whole, whatever its size."""
        fp.read = lambda *_: b""
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],  # noqa: ARG002
        code: int,  # noqa: ARG002
        msg: str,  # noqa: ARG002
        headers: HTTPMessage,  # noqa: ARG002
        newurl: str,
    ) -> urllib.request.Request | None:
        if req.type == "https" and not newurl.lower().startswith("https:"):
            raise NoPing(f"https://{req.host} wants the secret over plain http")
        return urllib.request.Request(
            newurl.replace(" ", "%20"), req.data, dict(req.headers), req.origin_req_host, True, "POST"
        )


def _within(total_s: float, where: str, call: Callable[[], None]) -> None:
    """Run `call` in a thread and abandon it after `total_s` seconds, since a name look-up has no time-out.

    Raises NoPing if it fails or does not end in time.
    """
    failure: list[Exception] = []
    done = threading.Event()

    def work() -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - it is raised again where it can be told
            failure.append(error)
        done.set()

    threading.Thread(target=work, daemon=True, name="ping").start()
    if not done.wait(total_s):
        raise NoPing(f"{where} did not answer within {total_s:g} s")
    if failure:
        raise failure[0] if isinstance(failure[0], NoPing) else NoPing(f"{where}: {_reason(failure[0])}")


def _reason(error: object) -> str:
    """A description of the error that cannot contain the URL."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return type(error).__name__ if isinstance(error, Exception) else "unknown error"


def _phrase(code: int) -> str:
    try:
        return f" ({HTTPStatus(code).phrase})"
    except ValueError:
        return ""
