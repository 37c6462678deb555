"""What a notification about several episodes says of them."""

from dataclasses import replace

from actors.model import AnomalyId
from actors.sink.notifications import notification_record
from actors.sink.protocol import Notification
from tests.support.notice_case import make_notice, make_notice_job


def test_episodes_of_one_key_in_several_splits_are_counted_each() -> None:
    job = make_notice_job(group_by=["site"])
    firing = make_notice(5, 5, 0, ("a", "web-1"), "firing")
    over = make_notice(9, 5, 0, ("a", "web-1"), "resolved")
    detail = (over.detail or "").replace('"split": 0', '"split": 1')
    other = replace(over, id=AnomalyId(split=1, offset=9, ordinal=1 << 28), detail=detail)
    found = notification_record(job, Notification(id="n", kind="notice", records=(firing, other)))
    assert (found["state"], found["firing"], found["resolved"]) == ("firing", 1, 1)
    both = notification_record(job, Notification(id="n", kind="notice", records=(firing, over)))
    assert (both["state"], both["firing"], both["resolved"]) == ("resolved", 0, 1)
