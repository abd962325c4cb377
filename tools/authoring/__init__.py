"""Authoring: from a chapter's text to its executed notebook, and the rules that it keeps. A reader never imports it.

contents.py      the chapters in their order, and their numbers
paired.py        a chapter's text and its notebook, cell by cell
checks.py        the rules for notebooks, texts and pages
colab.py         the first cell of every notebook
solutions.py     the exercises of a text, and the code of their solutions
figures.py       whether two pictures show the same figure
notebooks.py     executes texts into notebooks (`make notebooks`)
plain.py         MyST to plain Markdown
lesson.py        a chapter's learner notebook and that of its solutions
learner.py       writes the learner notebooks (`make notebooks`), and executes them
nbval_plugin.py  executes notebooks again, then their solutions, and compares (`make test`)
"""
