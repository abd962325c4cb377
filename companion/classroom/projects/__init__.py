"""Projects: what is handed in is a folder with data, cards of runs, a checkpoint and a page, and no code is run.

`unpacking` copies what was handed in and refuses what it should not hold, `project` reads its texts, `page` its page,
`boxed` opens pictures and weights in a process of its own, and `rubric` writes a page for the marker. The checks are
in `companion.classroom.public` and in `course/assignments`, as those of the other assignments.
"""

from companion.classroom.projects.project import MODELS, Project, Refused, Run, Score, opened

__all__ = ["MODELS", "Project", "Refused", "Run", "Score", "opened"]
