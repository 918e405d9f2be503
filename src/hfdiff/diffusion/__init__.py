"""Schedule, noise, denoiser wrapper and samplers; works on any callable network."""
