"""The public checks of the assignments, written by `make course`: the checks themselves, and the prints they need."""
