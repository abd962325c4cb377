"""Tools for those who write the book. They are no part of the package: a reader never imports them."""
