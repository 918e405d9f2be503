"""Training: one loop, and stages that say only what is particular to them."""
