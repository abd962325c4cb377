"""A small soak: good photographs are captioned, bad ones reported, memory stays flat, nothing is left behind."""

from benchmarks import soak


def test_sixty_good_photographs_and_one_of_each_kind_of_damage():
    report = soak.soak(72, bad_every=6)
    assert soak.failures(report) == []
    assert (report["bad"], report["captioned"], report["reported"]) == (12, 60, 12)
    assert report["reasons"].keys() == set(soak.BAD_KINDS)


def test_sixty_good_photographs_in_a_folder_killed_once_and_started_again():
    report = soak.soak(72, bad_every=6, folder=True)
    assert soak.failures(report) == []
    assert (report["bad"], report["captioned"], report["reported"]) == (12, 60, 9)
    assert 0 <= report["captioned when killed"] < 60
    assert report["captioned when killed"] + report["captioned after that"] == 60


def test_one_in_twenty_is_damaged_and_all_kinds_of_damage_come_up():
    damage = soak.damage_of(20 * len(soak.BAD_KINDS))
    assert sorted(kind for kind in damage.values() if kind) == sorted(soak.BAD_KINDS)


def test_a_failed_soak_says_what_went_wrong():
    good = {"left behind": [], "exit": 1, "memory after a quarter": 10**9, "memory at most": 10**9 + 10**7}
    assert soak.failures(good) == []
    assert soak.failures(good | {"left behind": ["x"]}) == ["left behind"]
    assert soak.failures(good | {"exit": 0}) == ["exit"]
    assert soak.failures(good | {"killed": 1, "captioned twice": ["x"]}) == ["captioned twice", "killed"]
    assert soak.failures(good | {"memory at most": 2 * 10**9}) == ["memory grew by 1000 MB"]
