"""One-step diffusion super-resolution for photographs."""
