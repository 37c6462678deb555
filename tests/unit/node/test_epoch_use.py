"""No two leader's processes of a node act under one epoch."""

from cluster.node.epoch_use import EpochUse


def test_the_process_is_told_what_the_member_leads() -> None:
    use = EpochUse()
    assert [use.tell(epoch) for epoch in (None, 3, 3, 4)] == [None, 3, 3, 4]
    assert not use.is_spent(4)


def test_the_next_process_does_not_act_under_the_epoch_of_one_that_is_lost() -> None:
    use = EpochUse()
    use.tell(4)
    use.lose()
    assert (use.is_spent(4), use.is_spent(None), use.tell(4), use.usable(4)) == (True, False, None, None)
    assert (use.is_spent(5), use.tell(5)) == (False, 5)


def test_an_epoch_that_was_told_stays_spent_while_a_majority_is_silent() -> None:
    use = EpochUse()
    use.tell(4)
    use.lose()
    # The member's lease is over, and begins again under the same epoch.
    assert (use.tell(None), use.tell(4)) == (None, None)


def test_a_process_that_was_told_nothing_spends_nothing() -> None:
    use = EpochUse()
    use.lose()
    assert (use.is_spent(None), use.tell(1)) == (False, 1)
