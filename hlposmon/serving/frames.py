"""Server frames, encoded once: the same bytes may go to any number of peers.

A server's frames are not masked and no extension is ever agreed on, so a frame does not depend on
the peer it is sent to. The encoding itself is wsproto's.
"""

from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import BytesMessage, TextMessage


def text_frame(payload: bytes) -> bytes:
    """One whole text message, ready for `Peer.send_frame`. The payload must be UTF-8."""
    return Connection(ConnectionType.SERVER).send(TextMessage(data=payload.decode()))


def binary_frame(payload: bytes) -> bytes:
    """One whole binary message, ready for `Peer.send_frame`."""
    return Connection(ConnectionType.SERVER).send(BytesMessage(data=payload))
