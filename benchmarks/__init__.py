"""Measurements: speed against plain implementations (`run`), attention mechanisms compared (`mechanisms`), ten thousand
photographs (`soak`), metrics beside people (`human_judgements`). Run each as a module from the root of the repository,
as README.md says.
"""
