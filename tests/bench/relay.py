"""The measure of all others: two processes that hand fills on and prove nothing.

One reads the exchange's WebSocket and puts each fill into a SEQPACKET socket; the other frames it for every
client of a Unix socket. They are made of the libraries that the monitor is made of, and keep no position, no
journal and no promise. `python -m tests.bench.relay WS_URL SOCKET ADDRESS` runs both.
"""

import base64
import multiprocessing
import selectors
import socket
import sys
import zlib

import orjson
import websocket
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Request, TextMessage

LARGEST = 1 << 17


def feed(url: str, address: str, queue: socket.socket) -> None:
    """Exchange -> datagrams."""
    ws = websocket.WebSocket(skip_utf8_validation=True, enable_multithread=False)
    ws.connect(url, suppress_origin=True)
    for one in ({"type": "userFills", "user": address}, {"type": "fastAssetCtxs"}):
        ws.send(orjson.dumps({"method": "subscribe", "subscription": one}))
    while True:
        _, raw = ws.recv_data()
        if raw[:1] != b"{":
            continue
        message = orjson.loads(raw)
        channel, data = message["channel"], message["data"]
        if channel == "userFills" and not data.get("isSnapshot"):
            for row in data["fills"]:
                queue.send(orjson.dumps({"type": "fill", "fill": row}))
        elif channel == "fastAssetCtxs":
            contexts = orjson.loads(zlib.decompress(base64.b64decode(data), wbits=-zlib.MAX_WBITS))
            marks = {coin: one["markPx"] for coin, one in contexts.items() if "markPx" in one}
            if marks:
                queue.send(orjson.dumps({"type": "marks", "marks": marks}))


def serve(path: str, queue: socket.socket) -> None:
    """Datagrams -> every client."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1024)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    selector.register(queue, selectors.EVENT_READ)
    clients: dict[socket.socket, WSConnection] = {}
    while True:
        for key, _ in selector.select():
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            if sock is listener:
                made, _ = listener.accept()
                clients[made] = WSConnection(ConnectionType.SERVER)
                selector.register(made, selectors.EVENT_READ)
            elif sock is queue:
                _hand_on(queue.recv(LARGEST), clients)
            else:
                _hear(sock, clients, selector)


def _hand_on(raw: bytes, clients: dict[socket.socket, WSConnection]) -> None:
    said = orjson.loads(raw)
    if said["type"] == "fill":
        message = {"type": "position_update", "event_type": "fill", "fill": said["fill"]}
    else:
        message = {"type": "position_update", "event_type": "price_update", "marks": said["marks"]}
    text = orjson.dumps(message).decode()
    for sock, protocol in clients.items():
        sock.sendall(protocol.send(TextMessage(text)))


def _hear(
    sock: socket.socket, clients: dict[socket.socket, WSConnection], selector: selectors.BaseSelector
) -> None:
    protocol, data = clients[sock], sock.recv(1 << 16)
    protocol.receive_data(data or None)
    for event in protocol.events():
        if isinstance(event, Request):
            sock.sendall(protocol.send(AcceptConnection()))
        elif isinstance(event, CloseConnection):
            data = b""
    if not data:
        selector.unregister(sock)
        del clients[sock]
        sock.close()


def main() -> None:
    url, path, address = sys.argv[1:]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    child = multiprocessing.get_context("fork").Process(target=feed, args=(url, address, ours), daemon=True)
    child.start()
    ours.close()
    serve(path, theirs)


if __name__ == "__main__":
    main()
