"""Losses: small pure pieces, each a raw scalar of tensors."""
