"""The circle of topology and solver stands alone: no torch, no web, no database, and quick to import."""

import subprocess
import sys
from pathlib import Path

import app.topology

MODULES = [path.stem for path in Path(app.topology.__file__).parent.glob("[a-z]*.py")]
HEAVY = ["torch", "torchvision", "numpy", "cv2", "fastapi", "sqlalchemy", "celery", "pydantic", "jinja2"]


def test_nothing_heavy_is_imported() -> None:
    imports = "; ".join(
        [*(f"import app.topology.{name}" for name in MODULES), "import app.solver.text", "import app.solver.sweep"]
    )
    code = f"import sys; {imports}; print(*(name for name in {HEAVY} if name in sys.modules))"

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert found.split() == []
