"""Write the model file ``identity``: bicubic in latent clothing, without weights.

Usage: python scripts/make_identity_model.py src/hfdiff/model/bundled/identity.safetensors
"""

import sys
from pathlib import Path

from hfdiff.model.build import build_model
from hfdiff.model.config import ModelConfig
from hfdiff.model.model_file import ModelCard, save_model
from hfdiff.nn.identity import IdentityConfig

CONFIG = ModelConfig(network=IdentityConfig(), codec=IdentityConfig(), tile=256, overlap=16, halo=2)
CARD = ModelCard(
    name="identity",
    licence="Apache-2.0",
    data_terms="trained on nothing",
    limits="enlarges by the bicubic kernel and adds nothing; a stand-in for tests and comparison",
)

if __name__ == "__main__":
    written = save_model(Path(sys.argv[1]), build_model(CONFIG), CARD)
    print(written.content_hash)
