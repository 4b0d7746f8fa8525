"""ONNX: a graph with a cache of keys and values, written by torch and run by onnxruntime."""
