"""A trained net in the forms that others read: .caffemodel, ONNX, plain PyTorch, and a script that predicts.

Pure: a topology and a file of weights in, texts and pieces of files out. No torch, no web, no database. Weights are
never copied: what a file is made of are bytes laid out here and spans of `weights.safetensors` (`pieces.py`).
"""
