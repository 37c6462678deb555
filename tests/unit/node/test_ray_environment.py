"""At which address Ray listens."""

from cluster.node.ray_environment import address_environment, is_loopback


def test_all_of_127_and_its_like_are_loopback() -> None:
    assert [is_loopback(host) for host in ("127.0.0.2", "::1", "10.0.0.1")] == [True, True, False]


def test_names_count_as_addresses_that_others_reach() -> None:
    assert [is_loopback(host) for host in ("localhost", "node-a")] == [True, False]


def test_only_ray_on_loopback_is_told_that_there_are_no_others() -> None:
    assert address_environment("127.0.0.2") == {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    assert address_environment("10.0.0.1") == {}
