"""The record of what attention costs is complete, and its parts measure what they say, on small sizes."""

import json

import pytest
import torch

from benchmarks import cost, measure


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.inference_mode():
        yield


def test_the_stored_record_is_complete_and_of_the_present_settings():
    record = json.loads(cost.RESULTS.read_text())
    assert record.keys() == cost.PARTS.keys()
    growth, words = record["growth"], record["words"]
    assert growth["places"] == list(cost.PLACES)
    assert (growth["channels"], growth["radius"]) == (cost.CHANNELS, cost.RADIUS)
    assert list(growth["ways"]) == list(cost.WAYS) == list(record["resident"]["megabytes"])
    assert all(len(way["milliseconds"]) == len(cost.PLACES) for way in growth["ways"].values())
    assert record["resident"]["places"] == cost.RESIDENT_PLACES
    assert list(record["keys"]["mechanisms"]) == list(cost.MODULES)
    assert words["words"] == list(cost.WORDS)
    assert len(words["time_ratio"]) == len(cost.WORDS)


def test_exact_ways_give_the_context_of_the_table():
    inputs = torch.randn(3, 50, 8, dtype=torch.float64).unbind()
    for name in ("fused", "blockwise"):
        torch.testing.assert_close(cost.WAYS[name](*inputs), cost.table(*inputs))


def test_the_memory_of_the_table_alone_grows_with_the_square_of_the_places():
    ways = cost.growth((256, 512), turns=1)["ways"]
    exponents = {name: way["memory_exponent"] for name, way in ways.items()}
    assert exponents.pop("table") > 1.8
    assert max(exponents.values()) < 1.1


def test_keys_of_every_word_take_as_many_more_products_as_there_are_words():
    """Without scores, 12 words would take 12 projections in place of one; the scores are the same on both sides."""
    module, places, hidden, words = cost.keys(12, 20, 64, turns=1)["mechanisms"]["scaled_dot"], 20, 64, 12
    projection, rest = 2 * places * hidden**2, words * 2 * (hidden**2 + 2 * places * hidden)
    assert module["flops"] == [projection + rest, words * projection + rest]


def test_a_prefix_computed_anew_takes_more_operations_and_gives_the_same_count_of_one_word():
    flops = cost.words((1, 4), places=5, hidden=16, turns=2)["flops"]
    assert flops["stepwise"][0] == flops["anew"][0]
    assert flops["anew"][1] > 2 * flops["stepwise"][1]


def test_an_interval_holds_the_mean_and_is_a_point_where_all_turns_agree():
    mean, low, high = cost.interval([1.0, 2.0, 3.0, 4.0])
    assert low < mean == 2.5 < high
    assert cost.interval([2.0, 2.0]) == [2.0, 2.0, 2.0]
    assert cost.slopes([1, 2, 4], [[3.0, 12.0, 48.0]] * 2) == [2.0, 2.0, 2.0]


@pytest.mark.slow
def test_the_memory_that_a_process_needs_is_seen_from_outside_pytorch():
    if not cost.Path("/proc/self/clear_refs").exists():
        pytest.skip("only Linux tells a process its peak")
    megabytes = cost.resident(2048)["megabytes"]
    assert megabytes["table"] > 2 * 2048**2 * 4 / measure.MEGABYTE * 0.9
    assert megabytes["fused"] < 10
