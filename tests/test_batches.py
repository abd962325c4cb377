"""Examples become token tensors and an order to visit them, and chance is the generator's alone."""

import pytest
import torch

from companion import batches
from companion.datasets import Example
from companion.vocabulary import Vocabulary


def examples(*counts):
    return [Example(f"{n}.jpg", None, tuple(f"word{n} word{i}" for i in range(n))) for n in counts]


@pytest.fixture
def vocabulary():
    return Vocabulary(["<pad>", "<start>", "<end>", "<unk>", *(f"word{i}" for i in range(10))])


def test_padding_fills_up_and_changes_nothing():
    tokens = batches.collate([[[1, 5, 2], [1, 2]], [[1, 7, 8, 9, 2]]])
    assert tokens.tolist() == [[[1, 5, 2, 0, 0], [1, 2, 0, 0, 0]], [[1, 7, 8, 9, 2], [0] * 5]]
    assert batches.collate([]).shape == (0, 0, 0)


def test_captions_in_their_order_when_there_are_as_many_as_wanted(vocabulary):
    tokens = batches.caption_tensor(examples(3, 3), vocabulary, per_image=3)
    said = [[" ".join(vocabulary.decode(row.tolist())) for row in picture] for picture in tokens]
    assert said == [["word3 word0", "word3 word1", "word3 word2"]] * 2


def test_every_picture_gets_equally_many_captions_all_its_own(vocabulary):
    """Few captions: each is there, then repeats. Many: a choice without repeats."""
    tokens = batches.caption_tensor(examples(1, 2, 8), vocabulary, per_image=5)
    assert tokens.shape == (3, 5, 4)
    assert [len({tuple(row) for row in picture.tolist()}) for picture in tokens] == [1, 2, 5]
    assert [set(picture[:, 1].tolist()) for picture in tokens] == [{vocabulary.id(f"word{n}")} for n in (1, 2, 8)]


def test_the_same_seed_draws_the_same_captions(vocabulary):
    first, second, other = (batches.caption_tensor(examples(9, 2, 9), vocabulary, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_long_captions_are_cut_but_end(vocabulary):
    long = [Example("a.jpg", None, ("word1 " * 50,))]
    tokens = batches.caption_tensor(long, vocabulary, per_image=1, max_words=20)
    assert tokens.shape == (1, 1, 22)
    assert tokens[0, 0, -1] == vocabulary.end


@pytest.mark.parametrize(("count", "size"), [(10, 3), (9, 3), (2, 5), (0, 4)])
def test_an_epoch_visits_every_picture_once(count, size):
    chosen = list(batches.batches(count, size, torch.Generator().manual_seed(0)))
    assert sorted(i for batch in chosen for i in batch.tolist()) == list(range(count))
    assert all(len(batch) == size for batch in chosen[:-1])


def test_the_order_is_the_generators_and_moves_on_with_it():
    def epochs(seed):
        generator = torch.Generator().manual_seed(seed)
        return [torch.cat(list(batches.batches(50, 8, generator))).tolist() for _ in range(2)]

    assert epochs(1) == epochs(1)
    assert epochs(1) != epochs(2)
    assert epochs(1)[0] != epochs(1)[1]
    assert torch.cat(list(batches.batches(50, 8))).tolist() == list(range(50))
