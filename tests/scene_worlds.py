"""Scenes of every split, made once for all tests that try a law on many of them."""

import functools

from companion import scenes


@functools.cache
def scenes_by_split() -> dict[str, list[scenes.Scene]]:
    """Return the first 300 scenes of every split; do not change them."""
    return {split: scenes.make_dataset(split, 300) for split in scenes.SPLITS}


def all_scenes() -> list[scenes.Scene]:
    """Return the scenes of `scenes_by_split` in one list."""
    return [scene for world in scenes_by_split().values() for scene in world]
