"""The language of a data set of photographs: its tokenizer, the pictures that may be mirrored, and the references.

Explained in the chapter on real photographs.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from companion import metrics
from companion.datasets import Example
from companion.datasets.augment import SIDE_LANGUAGES, flip_falsifies, is_latin
from companion.decoding import Caption
from companion.models import Captioner
from companion.tokenizer import ENGLISH, Tokenizer, find_tokenizer, language_needed
from companion.vocabulary import Vocabulary

SHOWN_WORDS = 8  # of those that a note counts
FEW_KNOWN = 0.8  # share of the words of the dev split; of those of Flickr8k the vocabulary has 0.97


def choose_tokenizer(language: str | None, initial: Captioner | None, init_from: str | None) -> Tokenizer:
    """Return the tokenizer of a run: of its language, English by default, or of the checkpoint that it begins with.

    Raises ValueError for an unknown language, and for one that is not the checkpoint's.
    """
    if initial is None:
        return find_tokenizer(language or ENGLISH.language)
    tokenizer = initial.vocabulary.tokenizer
    if language not in (None, tokenizer.language):
        raise ValueError(f"{init_from}: was trained on captions in {tokenizer.language!r}; leave --language away")
    return tokenizer


def side_language(language: str | None, tokenizer: Tokenizer) -> str | None:
    """Return the language for `flip_falsifies`: None if nothing but the default says that it is English."""
    return language or (tokenizer.language if tokenizer != ENGLISH else None)


def find_mirrorable(examples: Sequence[Example], language: str | None) -> Bool[Tensor, "image"]:
    """Return True for pictures of which no caption names a side; none in a language whose words for it are unknown."""
    return torch.tensor([not any(flip_falsifies(caption, language) for caption in each.captions) for each in examples])


def language_notes(examples: Sequence[Example], tokenizer: Tokenizer, language: str | None) -> list[str]:
    """Return a line for each thing that will go wrong, or not be done, with captions in this language.

    `language` is that of `side_language`.
    """
    captions = [caption for example in examples for caption in example.captions]
    name, notes = tokenizer.language, []
    if needed := language_needed(captions, tokenizer):
        notes.append(
            f"the rule for {name!r} does not find the words of most captions; name their language, such as --language "
            f"{needed}"
        )
    if language is not None and language not in SIDE_LANGUAGES:
        notes.append(f"the words for left and right are not known in {name!r}, so no picture is mirrored")
    elif language is None and not needed and sum(map(is_latin, captions)) * 2 < len(captions):
        notes.append("no picture is mirrored without the language of the captions; name it with --language")
    return notes


def known_words_note(vocabulary: Vocabulary, share: float) -> str:
    """Return the line that is due if the vocabulary has less than `FEW_KNOWN` of the words of the dev split."""
    return (
        f"only {share:.0%} of the words in the captions of dev are among the {len(vocabulary):,} of the vocabulary "
        f"(language {vocabulary.tokenizer.language!r}); more captions are needed, or another --language"
    )


def new_words_note(known: Vocabulary, extended: Vocabulary) -> str:
    """Return the line that says which words a vocabulary was given beside those of the checkpoint."""
    new = extended.words[len(known) :]
    listed = ", ".join(new[:SHOWN_WORDS]) + (", ..." if len(new) > SHOWN_WORDS else "")
    return f"the checkpoint lacks words that are frequent enough to be learnt ({len(new):,}): {listed}"


def make_references(captions: Sequence[Caption], examples: Sequence[Example]) -> metrics.References:
    """Return the references of the photographs, in the language of the captions that are to be scored."""
    tokenizer = captions[0].tokenizer if captions else ENGLISH
    return metrics.References([list(example.captions) for example in examples], tokenizer)
