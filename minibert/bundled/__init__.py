"""Models that come with the package: each folder here is a whole checkpoint, loaded by its name like any other.

The folder's README.md is the model's card: what it was trained on, how well it does, and where it fails.
"""
