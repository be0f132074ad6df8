"""The client library for other programs and the CLI: socket, snapshot, history. Standard library only.

`from hlposmon.client import Api, History, Snapshot`. Each class is imported on first use, so that a program
that needs one does not load the others.
"""

TYPE_CHECKING = False  # typing's, without typing: a short command imports this package
if TYPE_CHECKING:
    from hlposmon.client.api import Api as Api
    from hlposmon.client.history import History as History
    from hlposmon.client.snapshot import Snapshot as Snapshot

__all__ = ["Api", "History", "Snapshot"]


def __getattr__(name: str) -> object:
    if name == "Api":
        from hlposmon.client.api import Api

        return Api
    if name == "History":
        from hlposmon.client.history import History

        return History
    if name == "Snapshot":
        from hlposmon.client.snapshot import Snapshot

        return Snapshot
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
