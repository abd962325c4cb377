"""Count the code of the captioner that the chapters build by hand, beside the package's code for the same part.

    python -m tools.hand_built_lines

A line of code is one that is not blank, a comment or a docstring. On the pages only cells that are in view count.
Listed is what runs when a captioner of scenes is trained by cross-entropy and captions pictures; a part that no page
builds is listed without a chapter. Checkpoints, command line and cards are no parts of it.
"""

import ast
import inspect
import sys
import textwrap
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from companion import attention, datasets, decoders, decoding, encoders, models, training
from companion.attention import mechanisms, pooling
from companion.training import loop
from companion.vocabulary import Vocabulary
from tools.authoring.paired import read_paired_text

TEXTS = Path(__file__).resolve().parents[1] / "book" / "text"
FOLDED = ("hide-input", "hide-cell", "remove-input", "remove-cell")
LEAST = 0.9  # of the package's lines that belong to a part with an equivalent on the pages


class Part(NamedTuple):
    """A part of the captioner: the chapter and the names of its definitions there, and the package's equivalents."""

    name: str
    chapter: str
    pages: tuple[str, ...]  # empty: on no page
    package: tuple[Any, ...]  # empty: PyTorch's


GRIDS, WORDS = "08_pictures_into_grids", "09_words_into_numbers"
DECODER, LEARNING, DECODING = "10_attention_decoder", "11_learning", "12_decoding"
PARTS = (
    Part(
        "encoder", GRIDS, ("coordinates", "Encoder"),
        (encoders.coordinates, encoders.to_grid, encoders.ConvEncoder),
    ),
    Part("vocabulary", WORDS, ("Words",), (Vocabulary.build, Vocabulary.id, Vocabulary.encode, Vocabulary.decode)),
    Part(
        "batches", WORDS, ("pad", "batches"),
        (datasets.collate_captions, datasets.length_bucketed, datasets.trim_padding, training.CaptionBatches),
    ),
    Part(
        "additive attention", DECODER, ("AdditiveAttention",),
        (mechanisms.ProjectedAttention, mechanisms.AdditiveAttention, mechanisms.additive_scores,
         pooling.attention_pooling, pooling.masked_softmax, pooling.weighted_sum),
    ),
    Part("LSTM cell", DECODER, ("LSTMCell",), ()),
    Part("values", DECODER, ("positions", "Values"), (decoders.InputProjection, encoders.grid_positions)),
    Part(
        "decoder", DECODER, ("DeepOutput", "GatedAttention", "Step", "Decoder", "teacher_forcing"),
        (decoders.Step, decoders.LSTMDecoder, decoders.tied_output_proj),
    ),
    Part(
        "captioner", LEARNING, ("Captioner",),
        (models.Captioner.start, models.Captioner.step, models.Captioner.encode),
    ),
    Part("cross-entropy", DECODER, ("cross_entropy",), (training.caption_loss,)),
    Part("alignment loss", LEARNING, ("alignment_loss",), (training.alignment_loss,)),
    Part(
        "training loop", LEARNING, ("lr_at", "adam", "train_step", "batch_loss", "fit"),
        (training.lr_at, loop.parameter_groups, loop.train_step, loop.cross_entropy, loop.fit),
    ),
    Part("greedy search", LEARNING, ("Caption", "to_caption", "greedy"),
         (decoding.Caption, decoding.to_captions, decoding._generate, decoding.greedy)),
    Part("sampling", DECODING, ("sample", "top_p", "adjusted"), (decoding.sample, decoding.nucleus)),
    Part(
        "beam search", DECODING, ("Hypothesis", "continuations", "beam_search"),
        (decoding.Hypotheses, decoding.next_log_probs, decoding.empty_hypotheses, decoding.advance_beams,
         decoding.lengths, decoding.has_ended, decoding.finished, decoding.beam_search),
    ),
    Part("coverage", "", (), (attention.CoverageAttention,)),
    Part("word dropout", "", (), (training.word_dropout,)),
    Part("state of many beams", "", (), (decoders.State, decoders.expand_beams)),
)  # fmt: skip


def count_lines(source: str) -> int:
    """Return the lines of code of a piece of Python: without blank lines, comments and docstrings."""
    source = textwrap.dedent(source)
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module)) and ast.get_docstring(node) is not None:
            docstrings |= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    lines = enumerate(source.splitlines(), start=1)
    return sum(bool(text := line.strip()) and not text.startswith("#") and i not in docstrings for i, line in lines)


@cache
def definitions(text: Path, *, folded: bool) -> dict[str, list[str]]:
    """Return the source of every function and class that a chapter defines, by its name; in folded cells if asked."""
    found: dict[str, list[str]] = {}
    for cell in read_paired_text(text).cells:
        if cell.cell_type != "code" or (not folded and set(FOLDED) & set(cell.metadata.get("tags", []))):
            continue
        lines = cell.source.splitlines()
        for node in ast.parse(cell.source).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                found.setdefault(node.name, []).append("\n".join(lines[first - 1 : node.end_lineno]))
    return found


def page_lines(part: Part, texts: Path = TEXTS) -> int:
    """Return the lines of code of a part on its page. Raises ValueError if a definition is missing there or twice."""
    if not part.pages:
        return 0
    found = definitions(texts / f"{part.chapter}.md", folded=False)
    if wrong := [name for name in part.pages if len(found.get(name, [])) != 1]:
        raise ValueError(f"{part.chapter}: {', '.join(wrong)} must be defined once, in a cell that is in view")
    return sum(count_lines(found[name][0]) for name in part.pages)


def package_lines(part: Part) -> int:
    """Return the lines of code of a part in the package."""
    return sum(count_lines(inspect.getsource(each)) for each in part.package)


def share_on_pages(parts: tuple[Part, ...] = PARTS, texts: Path = TEXTS) -> float:
    """Return which share of the package's lines, 0 to 1, belongs to parts that the pages build."""
    total = sum(package_lines(part) for part in parts)
    return sum(package_lines(part) for part in parts if page_lines(part, texts)) / total


def changed_copies(texts: Path = TEXTS) -> list[str]:
    """Return the parts that a later chapter repeats in other words, folded or not, as "name: chapter and chapter"."""
    complaints: list[str] = []
    first: dict[str, tuple[str, str]] = {}
    for chapter in (GRIDS, WORDS, DECODER, LEARNING):
        found = definitions(texts / f"{chapter}.md", folded=True)
        for name in (name for part in PARTS for name in part.pages if name in found):
            for source in found[name]:
                where, original = first.setdefault(name, (chapter, source))
                if source != original:
                    complaints.append(f"{name}: {where} and {chapter}")
    return complaints


def main() -> int:
    """Print the table; return 1 if less than `LEAST` is on the pages or a copy was changed, else 0."""
    print(f"{'part':22}{'on the pages':>14}{'in the package':>16}")
    for part in PARTS:
        print(f"{part.name:22}{page_lines(part):14}{package_lines(part):16}")
    print(f"{'together':22}{sum(map(page_lines, PARTS)):14}{sum(map(package_lines, PARTS)):16}")
    share, changed = share_on_pages(), changed_copies()
    print(f"of the package's lines, {share:.1%} belong to parts that the pages build")
    for line in changed:
        print(f"not the same on two pages: {line}", file=sys.stderr)
    return int(share < LEAST or bool(changed))


if __name__ == "__main__":
    sys.exit(main())
