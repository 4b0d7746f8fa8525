"""Kernels of our own for a CPU, in C++, compiled on the machine that runs them."""
