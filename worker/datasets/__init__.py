"""From an archive of pictures to a dataset: scan, split, preprocess, encode, LMDB, mean, check-up.

Files only: no database, no web, no torch.
"""
