"""The arithmetic of pictures as one Python file that needs NumPy and Pillow only, for whoever downloads a model.

It is this package's own source, so that a picture becomes the same pixels there as here.
"""

from __future__ import annotations

import ast
import inspect
import json
from pprint import pformat
from types import ModuleType

from app import preprocessing as values
from app.imaging import decode, jpeg, preprocess, resize, small_files
from app.preprocessing import Preprocessing

_HEAD = '''"""How a picture becomes what the model saw in training: the code of its dataset, written by Trainyard.

    from preprocess import load
    pixels = load("picture.jpg")  # (H, W, C) uint8; C is 1, or 3 in the order blue, green, red

What follows per image: central crop to `crop_size`, minus the mean, times `scale` (see `PREPROCESSING`).
"""

from __future__ import annotations
'''
_TAIL = '''

PREPROCESSING = Preprocessing.from_dict(
{values}
)


def load(source: bytes | str | Path | BinaryIO) -> NDArray[np.uint8]:
    """The picture as (H, W, C) uint8 at the size of the dataset; raises ImageError."""
    return load_image(Path(source) if isinstance(source, str) else source, PREPROCESSING)
'''


def preprocess_source(preprocessing: Preprocessing) -> str:
    """The text of preprocess.py for a model that was trained with `preprocessing`."""
    parts = [_own(module) for module in (values, resize, jpeg, small_files, decode, preprocess)]
    # Pillow's own limit is lower than the one of decode.py, which looks before it decodes.
    limit = "\nImage.MAX_IMAGE_PIXELS = None\n"
    plain = json.loads(json.dumps(preprocessing.to_dict()))
    literal = "\n".join(f"    {line}" for line in pformat(plain, width=100, sort_dicts=False).splitlines())
    return "".join([_HEAD, *parts, limit, _TAIL.format(values=literal)])


def _own(module: ModuleType) -> str:
    """A module's text without its docstring and without imports of the other modules."""
    text = inspect.getsource(module)
    lines: list[str | None] = list(text.splitlines(keepends=True))
    for position, node in enumerate(ast.parse(text).body):
        is_docstring = position == 0 and isinstance(node, ast.Expr)
        is_ours = isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in ("app", "__future__")
        is_list = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        if is_docstring or is_ours or is_list:
            lines[node.lineno - 1 : node.end_lineno] = [None] * ((node.end_lineno or node.lineno) - node.lineno + 1)
    return "\n\n" + "".join(line for line in lines if line is not None).strip() + "\n"
