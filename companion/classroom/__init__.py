"""The classroom: assignments whose checks name the mistake. For teachers see `course/README.md`.

In a student's notebook, `check("A1")` prints the public checks. `checking` runs them, `expectations` compares answers,
`box` runs the code of a notebook in a process of its own, `marks` is the pytest plugin that grades, and `grading`
grades a folder. `check_answer` checks the exercises of the book that ask for numbers.
"""

from companion.classroom.answers import check_answer
from companion.classroom.assignments import points
from companion.classroom.checking import check
from companion.classroom.expectations import Expectation, Recorder, Subject
from companion.classroom.mistake import Mistake

__all__ = ["Expectation", "Mistake", "Recorder", "Subject", "check", "check_answer", "points"]
