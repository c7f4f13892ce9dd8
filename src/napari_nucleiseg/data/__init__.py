"""Training data: pairs of micrograph and label image, patches of them, and their variation."""
