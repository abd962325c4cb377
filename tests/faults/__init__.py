"""Fault injection, one file per area: what must happen when something goes wrong, and the harm without the guard.

`injection` holds the machinery. Every file has a table `FAULTS`; each row is tried in both directions.
"""
