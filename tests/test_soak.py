"""A small soak: every good photograph is captioned, every bad one named, memory stays flat, nothing is left behind."""

import importlib.util
from pathlib import Path

spec = importlib.util.spec_from_file_location("soak", Path(__file__).parent.parent / "benchmarks" / "soak.py")
soak = importlib.util.module_from_spec(spec)
spec.loader.exec_module(soak)


def test_two_hundred_photographs_one_in_twenty_of_them_damaged():
    report = soak.soak(200)
    assert soak.verdict(report) == []
    assert (report["bad"], report["captioned"], report["named"]) == (10, 190, 10)


def test_all_kinds_of_damage_come_up_and_one_in_twenty_is_damaged(tmp_path):
    kinds = soak.prepare(tmp_path, 20 * len(soak.BAD_KINDS))
    assert sorted(kind for kind in kinds.values() if kind) == sorted(soak.BAD_KINDS)


def test_the_verdict_names_what_went_wrong():
    good = {"left behind": [], "exit": 1, "memory after a quarter": 10**9, "memory at most": 10**9 + 10**7}
    assert soak.verdict(good) == []
    assert soak.verdict(good | {"left behind": ["x"]}) == ["left behind"]
    assert soak.verdict(good | {"exit": 0}) == ["exit"]
    assert soak.verdict(good | {"memory at most": 2 * 10**9}) == ["memory grew by 1000 MB"]
