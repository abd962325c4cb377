"""What is mended for screen readers while pages are made, and the contrast of the letters in figures."""

import pytest
from matplotlib.colors import to_rgb

from companion import plots
from tools.access import mended


def contrast(first: str, second: str) -> float:
    """Return the contrast of two colours as WCAG 2.2 defines it, from 1 to 21."""
    lights = []
    for colour in (first, second):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)
    return max(lights) / min(lights)


def test_contrast_is_that_of_known_pairs():
    assert contrast("black", "white") == pytest.approx(21)
    assert contrast("#777777", "white") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("ground", ["white", "black"])
def test_the_letters_of_figures_can_be_read_on_both_grounds(ground):
    assert contrast(plots.GREY, ground) >= 4.5


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ('<th class="head"></th>', "<td></td>"),
        ('<th class="head text-right"><p></p></th>', "<td></td>"),
        ("<th></th>", "<td></td>"),
        ('<th class="head"><p>Word</p></th>', '<th class="head"><p>Word</p></th>'),
        ('<th scope="row"></th>', '<th scope="row"></th>'),
        ('<div id="a" role="doc-biblioentry">', '<div id="a" role="listitem">'),
        ('<section id="solution-content"><p>', "<section><p>"),
        ('<section id="exercise-content"><p>', "<section><p>"),
        ('<section id="content"><p>', '<section id="content"><p>'),
    ],
)
def test_faults_of_the_markup_are_mended_and_nothing_else(written, read):
    assert mended(f"<p>a</p>{written}") == f"<p>a</p>{read}"
