"""Weights that come from elsewhere, read. How ours are written is in `app/export`."""
