"""Measurements: speed against plain implementations (`run`), attention mechanisms compared (`mechanisms`), ten thousand
photographs (`soak`). Run each as a module from the root of the repository, as README.md says.
"""
