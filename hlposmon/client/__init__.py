"""For other programs and for the CLI: the socket and the shared-memory snapshot, standard library only.

`from hlposmon.client import Api, Snapshot`. Each is imported when it is asked for, so that a program that
wants one does not pay for the other.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hlposmon.client.api import Api as Api
    from hlposmon.client.snapshot import Snapshot as Snapshot

__all__ = ["Api", "Snapshot"]


def __getattr__(name: str) -> Any:
    if name == "Api":
        from hlposmon.client.api import Api

        return Api
    if name == "Snapshot":
        from hlposmon.client.snapshot import Snapshot

        return Snapshot
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
