"""`up` waits while Ray is started anew, and gives up only after it has not started several times."""

from dataclasses import replace

from cluster.local.cluster import without_ray
from cluster.node.status import NodeStatus, RayPhase, RayStatus
from tests.unit.cluster.test_problems import FINE


def failed(name: str, generation: int) -> NodeStatus:
    ray = RayStatus(phase=RayPhase.FAILED, generation=generation, problem="it has ended with its machine")
    return replace(FINE, name=name, ray=ray)


def test_a_group_that_was_up_before_has_had_heads_of_ray_that_have_ended() -> None:
    first: dict[str, int] = {}
    assert without_ray([failed("a", 7)], first) is None
    assert without_ray([failed("a", 8), failed("b", 8)], first) is None
    # What one has tried often, another one may do.
    assert without_ray([failed("a", 9), failed("b", 9)], first) is None
    assert without_ray([failed("a", 9)], first) == failed("a", 9)


def test_a_new_group_gives_up_after_three_starts() -> None:
    first: dict[str, int] = {}
    assert [without_ray([failed("a", number)], first) for number in (1, 2)] == [None, None]
    assert without_ray([FINE], first) is None
    assert without_ray([failed("a", 3)], first) is not None
