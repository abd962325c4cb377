"""authoring: from a chapter's text to its executed notebook, and the rules that it keeps. A reader never imports it.

twins.py         a chapter's text ↔ its notebook, cell by cell
guards.py        what is wrong with a notebook, a text or a page, in lines
notebooks.py     text in, executed notebook out (`make notebooks`)
nbval_plugin.py  how pytest reports a cell that failed
"""
