"""companion: attention for image captioning, one file per stage of a picture's path.

Nothing is imported here, so that `companion --help` starts at once. Chapters write `from companion import attention`.
"""

__version__ = "1.0.0"
