"""A worker's notices about accounts, repeated to each new tracker until their cause is gone."""

import logging

from hlposmon.domain.reports import Notice, NoticeCode
from hlposmon.supervision.logs import fields
from hlposmon.workers.tracker_link import TrackerLink

log = logging.getLogger(__name__)


class Notices:
    """The notices of one worker, by account and code. The tracker drops them when the worker joins again."""

    def __init__(self, link: TrackerLink, source: str) -> None:
        self._link, self._source = link, source
        self._said: dict[tuple[str, NoticeCode], Notice] = {}
        self._ended: set[tuple[str, NoticeCode]] = set()

    def say(self, account: str, code: NoticeCode, text: str) -> None:
        """Report the notice to this and each later tracker; a newer text replaces one of the same code."""
        notice = Notice(account, code, text, self._source)
        if self._said.get((account, code)) == notice:
            return
        self._said[account, code] = notice
        log.warning("notice", extra=fields(account=account, code=code, text=text))
        self._link.put(notice)

    def end(self, account: str, code: NoticeCode) -> None:
        """End the notice. The first call for an account and code is reported even if nothing was said here,
        since the previous process of this worker may have left such a notice."""
        said = self._said.pop((account, code), None) is not None
        if said:
            log.info("notice ended", extra=fields(account=account, code=code))
        if said or (account, code) not in self._ended:
            self._ended.add((account, code))
            self._link.put(Notice(account, code, "", self._source))

    def repeat(self) -> None:
        """Report all current notices to a new tracker."""
        for notice in self._said.values():
            self._link.put(notice)
