"""The two-order synthetic degradation: decisions drawn first, then applied."""
