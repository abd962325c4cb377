"""The field's words: the glossary's terms are used in book and package, and replaced private names do not come back."""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.authoring.paired import read_paired_text
from tools.authoring.solutions import solutions
from tools.page_report import chapters

ROOT = Path(__file__).resolve().parents[1]
TEXTS = sorted((ROOT / "book" / "text").glob("*.md"))
SOURCES = sorted(
    path for folder in ("companion", "tools", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")
)

# Terms of the glossary that stand in the package only as a part of a name.
NAMED = {
    "doubly stochastic attention": "doubly_stochastic_loss",
    "fine-tuning": "PHOTOS_FINETUNE",
    "gradient clipping": "grad_clip",
    "key projection": "key_proj",
    "learnt queries": "QueryDecoder",
    "length normalisation": "length_power",
    "query projection": "query_proj",
    "residual connection": "residual",
    "value projection": "value_proj",
    "weight tying": "tied_output_proj",
}

# Terms that the package has no use for: of an explanation, of a measurement, or of other people's work.
BOOK_ONLY = frozenset(
    (
        "ablation",
        "attention sink",
        "bandwidth",
        "bias amplification",
        "completeness",
        "confident learning",
        "cost of not looking",
        "deletion",
        "dynamic quantization",
        "exposure bias",
        "grouped-query attention",
        "hidden unit",
        "insertion",
        "Jensen–Shannon divergence",
        "kernel regression",
        "label noise",
        "latency",
        "log-odds ratio",
        "long tail",
        "multi-query attention",
        "overfitting",
        "permutation equivariance",
        "plausible",
        "reward hacking",
        "rotary positions",
        "saturation",
        "scheduled sampling",
        "selective classification",
        "special tokens",
        "total variation",
        "windowed attention",
        "Zipf's law",
    )
)

# Names that once stood in this code for something that the field has a word for. They may stand in prose.
REPLACED = frozenset(
    """
    among_words at_picture averages beside_sentinel lay_out look_up looked one_place read_out weighted_average widen
    Found nothing_said settled
    Judge Plan doubly judge judge_of_likeness judge_of_scenes judged judges instructive pay plan put_back rate_at
    self_critical_loss shown shown_loss worth
    PATIENCE Summed in_turn join_batch_norms weighed
    PHOTOS_ON PHOTOS_WATCHED parted trimmed withhold
    agreed caption_scenes joining looks of_photos score_scenes
    SHIPPED collecting in_bytes packed
    Looked Numbers Tally speaks_of tally
    lit Dice Thing dice thing things
    complain own_folder write_whole
    drifted told twin twins
    """.split()
)


def glossary() -> dict[str, str]:
    """Return the definition of every term of the glossary; an entry such as "precision, recall" is two terms."""
    text = (ROOT / "book" / "text" / "notation.md").read_text(encoding="utf-8")
    entries = re.search(r"^```\{glossary\}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert entries, "notation.md has no glossary"
    pairs = re.findall(r"^(\S.*)\n((?:  .*\n|\n(?=  ))+)", entries[1], re.MULTILINE)
    return {term: definition for line, definition in pairs for term in re.split(r",\s*", line)}


def occurs(term: str, text: str) -> bool:
    """Return whether a text has the term, in any case, in bold, in the plural or as an identifier: hidden_states."""
    words = r"[\s_*-]*".join(re.escape(word) for word in re.split(r"[\s-]", term))
    return re.search(rf"(?<![a-z]){words}(?:e?s)?(?![a-z])", text, re.IGNORECASE) is not None


GLOSSARY = glossary()
CHAPTERS = [path.read_text(encoding="utf-8") for path in chapters()]
PACKAGE = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "companion").rglob("*.py")))


@pytest.mark.parametrize("term", GLOSSARY)
def test_a_term_of_the_glossary_occurs_in_a_chapter_and_in_the_package(term):
    assert any(occurs(term, chapter) for chapter in CHAPTERS), "in no chapter"
    assert occurs(NAMED.get(term, term), PACKAGE) or term in BOOK_ONLY, "not in the package, nor among the exceptions"


def test_the_exceptions_are_terms_of_the_glossary():
    assert set(GLOSSARY) >= BOOK_ONLY | set(NAMED)


def test_a_term_is_known_by_its_identifiers_and_its_plural_and_not_within_another_word():
    for text in ("The hidden states.", "hidden_state = 0", "Hidden\nstate"):
        assert occurs("hidden state", text)
    assert occurs("self-attention", "self_attention")
    assert occurs("n-gram", "ngrams")
    assert not occurs("head", "ahead")
    assert not occurs("mask", "masked")


def names(source: str) -> Iterator[tuple[str, int]]:
    """Yield every identifier of Python source with its line; comments and strings have none."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME:
            yield token.string, token.start[0]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_replaced_name_is_in_the_code(path):
    assert [f"line {line}: {name}" for name, line in names(path.read_text(encoding="utf-8")) if name in REPLACED] == []


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_no_replaced_name_is_in_the_code_of_a_chapter(path):
    cells = [cell.source for cell in read_paired_text(path).cells if cell.cell_type == "code"]
    code = [*cells, *(solution.code for solution in solutions(path.read_text(encoding="utf-8")))]
    assert {name for source in code for name, _ in names(source) if name in REPLACED} == set()


def test_a_replaced_name_is_found_in_code_and_not_in_prose():
    source = 'looks = 1  # told\n"""It looks."""\nmodel.widen(told)\n'
    assert [pair for pair in names(source) if pair[0] in REPLACED] == [("looks", 1), ("widen", 3), ("told", 3)]
