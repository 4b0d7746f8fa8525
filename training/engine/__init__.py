"""How gradients are computed: packed rows, exact attention within each, loss where it is borne."""
