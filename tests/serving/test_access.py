"""Which requests are let in by their Host and Origin: the rule by itself, without a socket."""

import pytest

from hlposmon.serving.access import Access
from hlposmon.serving.messages import Request


def asked(host="localhost", origin=None, *, uid=None, method="GET", **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()} | {"host": host}
    return Request(
        method, "/", "/", {}, named | ({"origin": origin} if origin is not None else {}), peer_uid=uid
    )


@pytest.mark.parametrize(
    ("access", "host"),
    [
        (Access(), "127.1.2.3"),
        (Access(), "localhost:1"),  # a tunnel may have another port
        (Access("monitor.lan:8000"), "monitor.lan:8000"),
        (Access("monitor.lan:8000"), "MONITOR.lan"),
        (Access("10.0.0.5:8000"), "10.0.0.5:8000"),
        (Access("0.0.0.0:8000"), "192.168.1.7:8000"),
        (Access("[::]:8000"), "[fe80::1]:8000"),
        (Access(allowed_hosts=("proxy.lan",)), "proxy.lan:443"),
        (Access(allowed_hosts=("proxy.lan:443",)), "Proxy.lan:443"),
    ],
)
def test_a_host_of_ours_is_answered(access, host):
    assert access.refusal(asked(host)) is None


@pytest.mark.parametrize(
    ("access", "host"),
    [
        (Access(), "10.0.0.5"),
        (Access("127.0.0.1:8000"), "10.0.0.5:8000"),
        (Access("0.0.0.0:8000"), "evil.example"),
        (Access(allowed_hosts=("proxy.lan:443",)), "proxy.lan:80"),
        (Access(), "localhost/evil"),
        (Access(), "localhost, evil.example"),
        (Access(), "localhost:port"),
        (Access(), "localhost:99999"),
        (Access(), "localhost."),
        (Access(), "127.0.0.1\\@evil.example"),
        (Access(), "[::1"),
        (Access(), "0"),
        (Access(), "2130706433"),
    ],
)
def test_any_other_host_is_refused(access, host):
    assert "Host" in (access.refusal(asked(host)) or "")


def test_on_a_unix_socket_the_host_is_of_no_matter():
    assert Access().refusal(asked("anything", uid=1000)) is None


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:8000", "http://localhost:8000"),
        ("localhost", "http://localhost:80"),
        ("localhost:443", "https://localhost"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("LocalHost", "http://localhost"),
    ],
)
def test_a_page_of_the_same_origin_is_let_in(host, origin):
    assert Access().refusal(asked(host, origin)) is None


@pytest.mark.parametrize(
    "origin",
    ["null", "", "http://localhost:8001", "https://localhost:8000/x", "file://localhost:8000",
     "localhost:8000",
     "http://x@localhost:8000", "http://localhost:8000@evil.example", "http://127.0.0.1:8000",
     "ftp://localhost:8000"],
)  # fmt: skip
@pytest.mark.parametrize("uid", [None, 1000])
def test_a_page_from_anywhere_else_is_refused_on_every_socket(origin, uid):
    assert "page at" in (Access().refusal(asked("localhost:8000", origin, uid=uid)) or "")


@pytest.mark.parametrize("site", ["cross-site", "same-site", "nonsense"])
def test_a_page_that_loads_us_as_a_script_or_picture_is_refused(site):
    assert Access().refusal(asked(sec_fetch_site=site, sec_fetch_dest="script"))
    assert Access().refusal(asked(sec_fetch_site=site, sec_fetch_dest="iframe"))


def test_an_address_that_a_person_types_or_follows_is_answered():
    assert Access().refusal(asked(sec_fetch_site="none", sec_fetch_dest="document")) is None
    assert Access().refusal(asked(sec_fetch_site="cross-site", sec_fetch_dest="document")) is None


def test_nothing_is_granted_to_a_page_that_is_not_named():
    access = Access(allowed_origins=("http://localhost:3000",))
    granted = dict(access.grants(asked(origin="http://localhost:3001")))

    assert "Access-Control-Allow-Origin" not in granted
    assert granted["Vary"] == "Origin"
    assert access.preflight(asked(origin="http://localhost:3001", method="OPTIONS")) is None


def test_a_page_may_ask_for_a_private_network_where_it_is_named():
    access = Access(allowed_origins=("https://app.example",))
    answer = access.preflight(
        asked(
            origin="https://app.example",
            method="OPTIONS",
            access_control_request_method="GET",
            access_control_request_private_network="true",
        )
    )

    assert answer is not None
    assert ("Access-Control-Allow-Private-Network", "true") in answer.headers
