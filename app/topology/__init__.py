"""Prototxt and what can be said about it without torch: nets, shapes, checks, the zoo, the texts of a download."""
