"""What `benchmarks/datasets.py` is made of: the pictures, who makes a dataset of them, and how each is measured."""
