"""The engine: nets compiled to PyTorch, trained, evaluated, looked into. Files and tensors; no database, no web."""
