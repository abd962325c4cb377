"""Write metrics.json beside this file: the scores of pycocoevalcap and sacrebleu for the captions below. Run by hand:

    python3 -m venv oracle
    oracle/bin/pip install --no-deps pycocoevalcap==1.2
    oracle/bin/pip install numpy sacrebleu==2.6.0
    PYTHONPATH=. oracle/bin/python tests/golden/make_metrics.py

Both get the words of `companion.vocabulary.tokenize`, so that formulas are compared and not tokenizers.
"""

import json
from pathlib import Path

from pycocoevalcap.bleu.bleu_scorer import BleuScorer
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge
from sacrebleu.metrics import BLEU

from companion.vocabulary import tokenize

LONG = "a small brown dog with a red collar runs along the wet beach beside the sea "

# (candidate, references) of one image in each line; the comment names the case.
IMAGES = [
    ("A dog runs on the beach.", ["A dog is running on the beach.", "A brown dog runs along the sand.", "Dog at sea."]),
    ("two children play football", ["Two kids are playing soccer", "Two children play football in a park"]),
    ("a red circle above a blue square", ["a red circle above a blue square", "blue square below red circle"]),  # exact
    ("a man rides a horse", ["a man rides a horse"]),  # exact, the only reference
    ("a woman holding an umbrella", ["the lady has a parasol"]),  # one reference
    ("", ["a cat sleeps on a sofa", "a sleeping cat"]),  # empty
    ("...", ["three boats on a lake", "boats"]),  # no word left after tokenising
    ("a", ["a bird"]),  # one word
    ("bird", ["a bird", "the bird"]),
    ("a bird", ["a bird", "a bird in a tree"]),  # two words
    ("a green tree", ["a green tree", "green trees"]),  # three words
    ("the the the the the the the", ["The cat is on the mat.", "There is a cat on the mat."]),  # Papineni's example
    ("a a a a a dog dog dog", ["a dog and a dog chase a ball", "a dog"]),  # repeated words
    ("a dog a dog a dog a dog", ["a dog a dog", "dog a dog a dog a"]),
    ("one two three four", ["one two three", "one two three four five"]),  # lengths tie: 3 and 5
    ("one two three four", ["one two three four five", "one two three"]),  # the same, the other way round
    ("five words stand here now", ["three words here", "seven words stand here right now then"]),  # tie: 3 and 7
    ("a b c d e f", ["f e d c b a", "a c e b d f"]),  # the right words in the wrong order
    ("a zebra eats grass", ["two people sit on a bench", "people on a bench in the sun"]),  # nearly nothing right
    ("xylophone quartz", ["a plate of food", "food on a plate on a table"]),  # unknown words only
    ("a glorb of frumious food", ["a plate of food", "food on a plate on a table"]),  # some unknown words
    (LONG * 6, [LONG, "a dog on a beach"]),  # very long candidate
    ("a dog", [LONG * 4]),  # very long reference
    (LONG.strip() + " at noon", [LONG, LONG * 2, "a dog runs along the beach"]),
    ("A dog's t-shirt isn't blue", ["the dog's T-shirt is red", "a dog’s t-shirt isn't green"]),  # apostrophes, hyphens
    ("3 men in 2 boats", ["3 men in 2 boats on a lake", "men rowing 2 boats"]),  # figures
    ("Un café près de l'église", ["Un café près d'une église", "le café"]),  # beyond ASCII
    ("a man in a hat, smiling!", ["A man, in a hat, smiles.", "a smiling man in a hat"]),  # punctuation
    ("a cat sits on a mat", ["a cat sits on a mat", "a cat sits on a mat", "a cat sits on a mat"]),  # thrice the same
    ("a cat sits on a mat", ["a dog stands on a rug", "a cat sits on a mat"]),
    ("a cat on a mat", ["a cat", "on a mat", "sits", "a mat on a cat", "on a cat a mat"]),  # five references
    ("people walking down a street at night", ["people walk down a street", "a street at night with people walking"]),
    ("a train is at the station", ["a train pulls into a station", "the train is at the platform"]),
    ("a bowl of fruit on a table", ["a bowl of fruit sits on a wooden table", "fruit in a bowl on a table"]),
    ("a large purple triangle", ["a large purple triangle", "one big purple triangle", "a purple triangle"]),
    ("a small green striped square left of a ring", ["a ring right of a small green striped square", "a square"]),
    ("there are three red circles", ["three red circles", "there are three circles, all of them red"]),
    ("a man and a woman and a man and a woman", ["a man and a woman", "a woman and a man"]),
    ("a surfer rides a wave", ["", "a surfer on a wave"]),  # an empty reference among others
    ("the boy kicks the ball to the girl", ["the girl kicks the ball to the boy", "the ball is kicked to the girl"]),
    ("a plane in the sky", ["a plane flying in the blue sky", "an airplane in the sky", "plane", "a plane in the sky"]),
    ("skiers on a snowy hill near trees", ["two skiers go down a snowy hill", "a hill with snow, trees and skiers"]),
]


def scored_corpus(name: str, images: list[tuple[str, list[str]]]) -> dict:
    """Return the texts of a corpus with its scores by both implementations."""
    candidates = [" ".join(tokenize(candidate)) for candidate, _ in images]
    references = [[" ".join(tokenize(text)) for text in texts] for _, texts in images]
    gts, res = dict(enumerate(references)), {index: [text] for index, text in enumerate(candidates)}
    scorer = BleuScorer(n=4)
    for candidate, texts in zip(candidates, references, strict=True):
        scorer += (candidate, texts)
    bleu, bleu_each = scorer.compute_score(option="closest")
    rouge_l, rouge_l_each = Rouge().compute_score(gts, res)
    cider_d, cider_d_each = Cider().compute_score(gts, res)
    columns = [[texts[j] if j < len(texts) else None for texts in references] for j in range(max(map(len, references)))]
    # force: the texts are tokenised already; no smoothing, unlike sacrebleu's default
    settings = {"smooth_method": "none", "tokenize": "none", "force": True}
    sacrebleu = [
        BLEU(max_ngram_order=n, **settings).corpus_score(candidates, columns).score / 100 for n in (1, 2, 3, 4)
    ]
    return {
        "name": name,
        "candidates": [candidate for candidate, _ in images],
        "references": [texts for _, texts in images],
        "pycocoevalcap": {
            "bleu": [float(value) for value in bleu],
            "bleu_each": [[float(value) for value in values] for values in zip(*bleu_each, strict=True)],
            "rouge_l": float(rouge_l),
            "rouge_l_each": [float(value) for value in rouge_l_each],
            "cider_d": float(cider_d),
            "cider_d_each": [float(value) for value in cider_d_each],
        },
        "sacrebleu": sacrebleu,
    }


def main() -> None:
    """Score every corpus and write the file."""
    corpora = [
        scored_corpus("all", IMAGES),
        scored_corpus("without the very long", [image for image in IMAGES if LONG not in image[0]]),
        scored_corpus("no more than four words", [image for image in IMAGES if len(tokenize(image[0])) <= 4]),
        scored_corpus("no more than three words", [image for image in IMAGES if len(tokenize(image[0])) <= 3]),
        scored_corpus("one reference each", [(candidate, references[:1]) for candidate, references in IMAGES]),
        scored_corpus(
            "each its own first reference", [(references[0], references) for _, references in IMAGES if references[0]]
        ),
        scored_corpus("the neighbour's caption", [(IMAGES[i - 1][0], IMAGES[i][1]) for i in range(len(IMAGES))]),
        scored_corpus("one image", IMAGES[:1]),
        scored_corpus("two images", IMAGES[:2]),
        scored_corpus("all empty", [("", references) for _, references in IMAGES if all(references)]),
    ]
    lines = ",\n".join(json.dumps(corpus, ensure_ascii=False) for corpus in corpora)  # one line a corpus
    Path(__file__).with_name("metrics.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
