"""Exports beside llama.cpp's converter and onnxruntime-genai's model builder, side by side in one run."""
