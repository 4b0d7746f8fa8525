"""A trained version as a GGUF file, proved by loading it in llama.cpp."""
