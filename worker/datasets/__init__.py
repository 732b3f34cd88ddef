"""From an archive of pictures to a dataset: scan, split, preprocess, encode, LMDB, mean, check-up.

Files only: no database, no web, no torch.
"""

from PIL import Image

Image.MAX_IMAGE_PIXELS = None  # `app/imaging/decode.py` checks before decoding, with a message of its own
