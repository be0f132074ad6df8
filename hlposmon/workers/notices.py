"""What a worker has to say of accounts to their owner: said to each tracker, until its cause is gone."""

import logging

from hlposmon.domain.reports import Notice, NoticeCode
from hlposmon.supervision.logs import fields
from hlposmon.workers.tracker_link import TrackerLink

log = logging.getLogger(__name__)


class Notices:
    """One worker's. The tracker forgets them when the worker joins anew."""

    def __init__(self, link: TrackerLink, source: str) -> None:
        self._link, self._source = link, source
        self._said: dict[tuple[str, NoticeCode], Notice] = {}
        self._ended: set[tuple[str, NoticeCode]] = set()

    def say(self, account: str, code: NoticeCode, text: str) -> None:
        """Say it now and to each tracker from now on; a newer text of the same code takes its place."""
        notice = Notice(account, code, text, self._source)
        if self._said.get((account, code)) == notice:
            return
        self._said[account, code] = notice
        log.warning("notice", extra=fields(account=account, code=code, text=text))
        self._link.put(notice)

    def end(self, account: str, code: NoticeCode) -> None:
        """Its cause is gone: that of the process before too, whose last words may have come late."""
        said = self._said.pop((account, code), None) is not None
        if said:
            log.info("notice ended", extra=fields(account=account, code=code))
        if said or (account, code) not in self._ended:
            self._ended.add((account, code))
            self._link.put(Notice(account, code, "", self._source))

    def repeat(self) -> None:
        """There is a new tracker: it is told all."""
        for notice in self._said.values():
            self._link.put(notice)
