"""Server frames, encoded once: the same bytes may go to any number of peers.

A server's frames are not masked and no extension is ever agreed on, so a frame does not depend on the peer
it is sent to: it is a header of 2, 4 or 10 bytes (RFC 6455, section 5.2) and the payload. wsproto makes the
same bytes, but a connection object for each frame costs more than all else that is done with a message.
"""

import struct

_TEXT, _BINARY = 0x81, 0x82  # one whole message: FIN and the opcode
_SHORT, _MEDIUM = 126, 1 << 16


def text_frame(payload: bytes) -> bytes:
    """One whole text message, ready for `Peer.send_frame`. The payload must be UTF-8."""
    return _header(_TEXT, len(payload)) + payload


def binary_frame(payload: bytes) -> bytes:
    """One whole binary message, ready for `Peer.send_frame`."""
    return _header(_BINARY, len(payload)) + payload


def payload_of(frame: bytes) -> bytes:
    """The payload of a frame that `text_frame` or `binary_frame` made."""
    length = frame[1]
    return frame[2 if length < _SHORT else 4 if length == _SHORT else 10 :]


def _header(first: int, length: int) -> bytes:
    if length < _SHORT:
        return bytes((first, length))
    if length < _MEDIUM:
        return struct.pack(">BBH", first, 126, length)
    return struct.pack(">BBQ", first, 127, length)
