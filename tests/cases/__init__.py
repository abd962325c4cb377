"""What people really bring: files, pictures, archives and languages of many kinds, each by its smallest input.

Inputs are written by other means than the package's own code, and go through the command.
"""
