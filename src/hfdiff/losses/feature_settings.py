"""Which frozen networks the terms hf and js_dino look through, and how (facts j.2 to j.5)."""

from dataclasses import dataclass, field

from hfdiff.losses.high_frequency import Normalize, Poses
from hfdiff.losses.jensen_shannon import JensenShannonConfig
from hfdiff.nn.dino import PreparationConfig
from hfdiff.nn.invertible import BackwardForm


@dataclass(frozen=True, kw_only=True)
class FeatureSettings:
    """Settings of the terms hf and js_dino.

    Attributes:
        extractor: Model file of H.
        hf_normalize: ``channel_std`` divides each of H's channels by its spread on the extractor's
            training pictures; ``none`` is Eq. 6.
        hf_poses: 2 shows H every picture upright and transposed, at twice the cost, since one that
            learnt to tell degradations often answers to lines of one direction only; 1 is Eq. 6.
        hf_backward: ``reconstruct`` takes memory that does not grow with H's modules, a little more
            time, and float32 for H whatever the run's precision is.
        dino: File, folder or hub id of DINOv2, or the name of a stand-in.
        dino_input: How pictures become its input.
        js: What the distributions are.
    """

    extractor: str = ""
    hf_normalize: Normalize = "none"
    hf_poses: Poses = 1
    hf_backward: BackwardForm = "ordinary"
    dino: str = ""
    dino_input: PreparationConfig = field(default_factory=PreparationConfig)
    js: JensenShannonConfig = field(default_factory=JensenShannonConfig)
