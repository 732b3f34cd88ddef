"""Trained nets in the forms that others read: .caffemodel, ONNX, plain PyTorch. Files only; no database, no web."""
