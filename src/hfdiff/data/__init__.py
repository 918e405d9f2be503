"""Training data: pictures found, cut and degraded; every sample a function of seed and index."""
