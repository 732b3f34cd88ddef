"""From the bytes of a picture to the pixels of a dataset: pure arithmetic, Pillow and NumPy only.

One definition for all who need it: dataset builds and predictions in the worker, previews in the web process, and the
downloaded model, which carries `resize.py` with it. No web, no database, no files. The choices are a value of
`app/preprocessing.py`; what happens to a batch afterwards (crop, mirror, mean, scale) is in `worker/engine`.
"""

from PIL import Image

Image.MAX_IMAGE_PIXELS = None  # for all that import this: `decode.py` looks before it decodes, and says what it found
