"""Examples become token tensors and an order in which to visit them, and the generator alone decides what is random."""

import pytest
import torch

from companion import datasets
from companion.datasets import Example
from companion.vocabulary import Vocabulary


def examples(*caption_counts):
    return [Example(f"{n}.jpg", None, tuple(f"word{n} word{i}" for i in range(n))) for n in caption_counts]


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def vocabulary():
    return Vocabulary(["<pad>", "<start>", "<end>", "<unk>", *(f"word{i}" for i in range(10))])


def test_padding_fills_up_and_changes_nothing():
    tokens = datasets.collate_captions([[[1, 5, 2], [1, 2]], [[1, 7, 8, 9, 2]]])
    assert tokens.tolist() == [[[1, 5, 2, 0, 0], [1, 2, 0, 0, 0]], [[1, 7, 8, 9, 2], [0] * 5]]
    assert datasets.collate_captions([]).shape == (0, 0, 0)


def test_captions_keep_their_order_when_there_are_as_many_as_needed(vocabulary):
    tokens = datasets.caption_tensor(examples(3, 3), vocabulary, per_image=3)
    captions = [[" ".join(vocabulary.decode(row.tolist())) for row in image] for image in tokens]
    assert captions == [["word3 word0", "word3 word1", "word3 word2"]] * 2


def test_every_image_gets_equally_many_captions_all_its_own(vocabulary):
    """Few captions: each is there, then repeats. Many: a choice without repeats."""
    tokens = datasets.caption_tensor(examples(1, 2, 8), vocabulary, per_image=5)
    assert tokens.shape == (3, 5, 4)
    assert [len({tuple(row) for row in image.tolist()}) for image in tokens] == [1, 2, 5]
    assert [set(image[:, 1].tolist()) for image in tokens] == [{vocabulary.id(f"word{n}")} for n in (1, 2, 8)]


def test_the_same_seed_chooses_the_same_captions(vocabulary):
    first, second, other = (datasets.caption_tensor(examples(9, 2, 9), vocabulary, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_long_captions_are_cut_but_end(vocabulary):
    long = [Example("a.jpg", None, ("word1 " * 50,))]
    tokens = datasets.caption_tensor(long, vocabulary, per_image=1, max_words=20)
    assert tokens.shape == (1, 1, 22)
    assert tokens[0, 0, -1] == vocabulary.end


@pytest.mark.parametrize(("count", "size"), [(10, 3), (9, 3), (2, 5), (0, 4)])
def test_an_epoch_visits_every_image_once(count, size):
    batches = list(datasets.batch_indices(count, size, seeded(0)))
    assert sorted(i for batch in batches for i in batch.tolist()) == list(range(count))
    assert all(len(batch) == size for batch in batches[:-1])


def test_the_order_is_the_generators_and_advances_with_it():
    def epochs(seed):
        generator = seeded(seed)
        return [torch.cat(list(datasets.batch_indices(50, 8, generator))).tolist() for _ in range(2)]

    assert epochs(1) == epochs(1)
    assert epochs(1) != epochs(2)
    assert epochs(1)[0] != epochs(1)[1]
    assert torch.cat(list(datasets.batch_indices(50, 8))).tolist() == list(range(50))


# -- batches of captions of similar length ----------------------------------------------------------------------------


def captions_of_random_length(images=300, beam=5, longest=20):
    lengths = torch.randint(1, longest + 1, (images, beam), generator=seeded(0))
    return (torch.arange(longest) < lengths.unsqueeze(-1)).long()


def bucketed(tokens, captions=2, seed=0, **options):
    return list(datasets.length_bucketed(tokens, 16, captions, generator=seeded(seed), **options))


@pytest.mark.parametrize("pool", [1, 3, 20])
def test_length_bucketing_visits_every_image_once_with_so_many_captions(pool):
    batches = bucketed(captions_of_random_length(), captions=3, pool=pool)
    assert sorted(i for images, _ in batches for i in images.tolist()) == list(range(300))
    for images, captions in batches:
        assert captions.shape == (len(images), 3)
        assert all(len(set(row)) == 3 for row in captions.tolist())


def test_the_captions_of_an_image_in_a_batch_are_neighbours_in_length():
    tokens = captions_of_random_length()
    lengths = tokens.sum(-1)
    for images, captions in bucketed(tokens):
        for image, chosen in zip(images.tolist(), captions.tolist(), strict=True):
            shortest, longest = sorted(lengths[image, chosen].tolist())
            between = ((lengths[image] > shortest) & (lengths[image] < longest)).sum()
            assert between == 0


def test_length_bucketing_halves_the_padding_of_random_batches():
    tokens = captions_of_random_length()

    def padding(batches):
        parts = [datasets.trim_padding(tokens[images[:, None], captions]) for images, captions in batches]
        return sum((part == Vocabulary.pad).sum().item() for part in parts)

    unsorted = [(images, torch.arange(2).expand(len(images), 2)) for images in torch.arange(300).split(16)]
    assert padding(bucketed(tokens)) < padding(unsorted) / 2


def test_the_generator_alone_decides_buckets_and_captions():
    tokens = captions_of_random_length(images=40)
    first, again, other = (
        [(images.tolist(), captions.tolist()) for images, captions in bucketed(tokens, seed=seed)] for seed in (1, 1, 2)
    )
    assert first == again != other


def test_trimming_removes_the_columns_that_are_padding_in_every_caption():
    tokens = torch.tensor([[[1, 5, 2, 0, 0], [1, 2, 0, 0, 0]], [[1, 7, 8, 2, 0], [0, 0, 0, 0, 0]]])
    assert datasets.trim_padding(tokens).tolist() == tokens[..., :4].tolist()
