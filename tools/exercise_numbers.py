"""A Sphinx extension: exercises are counted by chapter, "Exercise 2.1", and not through the whole book.

The chapter is the number before the dot in a page's title, "2 · Weighted averages"; in a page without one the exercises
are 1, 2, 3. Learner notebooks count in the same way (`tools.authoring.solutions.exercise_numbers`). Sphinx compares its
own count with these numbers, so it writes the pages that have exercises anew at every build.
"""

import re

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

CHAPTER = re.compile(r"(\d+) · ")


def number_by_chapter(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Replace the numbers that Sphinx has given to the exercises; no page need be read again for it."""
    for page, kinds in env.toc_fignumbers.items():
        chapter = CHAPTER.match(env.titles[page].astext())
        prefix = (int(chapter[1]),) if chapter else ()
        labels = kinds.get("exercise", {})
        labels.update({label: (*prefix, count) for count, label in enumerate(labels, start=1)})
    return []


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension to Sphinx, which calls this."""
    app.connect("env-get-updated", number_by_chapter, priority=900)  # after Sphinx has counted
    return {"parallel_read_safe": True}
