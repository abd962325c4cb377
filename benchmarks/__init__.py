"""Measurements: speed against plain implementations (`run`), attention mechanisms compared (`mechanisms`), what a
reward and what self-attention does (`rewards`, `counting`), the article's program in Keras (`article_in_keras`,
`captioner_in_keras`), ten thousand photographs (`soak`), captions by retrieval (`retrieval`), metrics beside people
(`human_judgements`). Run each as a module from the root of the repository, as README.md says.
"""
