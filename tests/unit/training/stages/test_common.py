import pytest
import torch

from hfdiff.core.errors import SettingsError
from hfdiff.data.batches import DataSettings
from hfdiff.model.config import ModelConfig
from hfdiff.model.model_file import ModelCard, describe, load_model
from hfdiff.nn.discriminator import DiscriminatorConfig
from hfdiff.nn.lite import LiteCodecConfig
from hfdiff.training.settings import RunSettings
from hfdiff.training.stages import common
from training_pieces import batch_of

CONFIG = ModelConfig(codec=LiteCodecConfig(), role="codec")
ROWS = [
    lambda batch, generator: common.normal_rows(batch, (2, 3, 3), generator),
    common.uniform_rows,
    lambda batch, generator: common.integer_rows(batch, 15, generator),
]


def seeded():
    return torch.Generator().manual_seed(5)


@pytest.mark.parametrize("rows", ROWS)
def test_a_part_draws_the_rows_of_its_samples(rows):
    batch, whole_generator = batch_of(6), seeded()
    whole = rows(batch, whole_generator)

    for part in (batch.part(0, 2), batch.part(2, 5), batch.part(5, 6)):
        generator = seeded()
        assert torch.equal(rows(part, generator), whole[part.rows])
        assert torch.equal(generator.get_state(), whole_generator.get_state())


def test_draws_have_their_laws():
    batch = batch_of(512, side=4)

    normal = common.normal_rows(batch, (4, 8, 8), seeded())
    uniform = common.uniform_rows(batch, seeded())
    integers = common.integer_rows(batch, 4, seeded())

    assert normal.mean().item() == pytest.approx(0, abs=0.02)
    assert normal.std().item() == pytest.approx(1, abs=0.02)
    assert 0 <= uniform.min() < 0.05 < 0.95 < uniform.max() < 1
    assert integers.dtype == torch.int64
    assert all(90 < count < 166 for count in integers.bincount())


def test_a_random_corner_reaches_every_place_and_no_other():
    generator = seeded()

    corners = {common.random_corner(6, 5, 4, generator) for _ in range(200)}

    assert corners == {(top, left) for top in range(3) for left in range(2)}


@pytest.mark.parametrize("side", [0, 7])
def test_a_side_that_is_0_or_does_not_fit_has_one_corner(side):
    assert common.random_corner(6, 5, side, seeded()) == (0, 0)


def test_a_random_part_is_the_same_square_of_all_pictures():
    a = torch.arange(48.0).view(1, 1, 6, 8)

    first, second = common.random_part((a, a + 100), 4, seeded())

    assert first.shape == (1, 1, 4, 4)
    assert torch.equal(second, first + 100)
    assert common.random_part((a,), 0, seeded())[0] is a
    assert torch.equal(common.random_part((a,), 9, seeded())[0], a)


def test_patches_that_the_networks_cannot_take_are_refused():
    data = {"gt_size": 96, "scale": 3}
    settings = RunSettings(data=DataSettings(**data))

    with pytest.raises(SettingsError, match=r"data\.scale is 3, the networks enlarge by 4"):
        common.check_data(settings, CONFIG)


def test_a_discriminator_that_would_see_too_little_is_refused():
    common.check_discriminator(DiscriminatorConfig(layers=3), 24)

    with pytest.raises(SettingsError, match="at least 24 pixels a side, got 20"):
        common.check_discriminator(DiscriminatorConfig(layers=3), 20)


def test_a_square_that_vgg_would_halve_away_is_refused():
    common.check_vgg(16)

    with pytest.raises(SettingsError, match="VGG16 needs squares of at least 16 pixels, got 12"):
        common.check_vgg(12)


def test_an_assembled_model_is_a_frozen_copy_in_an_upscalers_layout(ground):
    model, _ = load_model(ground.root / "lite_teacher.safetensors")
    newer = torch.nn.Sequential(*model.codec.lq_encoder)

    made = common.assemble(model.config, model.network, model.codec, {"lq_encoder": newer})

    assert not made.training
    assert not any(p.requires_grad for p in made.parameters())
    layout = torch.channels_last
    assert all(p.is_contiguous(memory_format=layout) for p in made.parameters() if p.ndim == 4)
    assert made.network is not model.network
    assert torch.equal(made.codec.lq_encoder[0].weight, newer[0].weight)


def test_the_card_of_an_exported_model_remembers_the_stages_before(ground, tmp_path):
    model, _ = load_model(ground.root / "lite_teacher.safetensors")
    before = ModelCard(
        name="a", licence="x", data_terms="free", training={"stages": [{"stage": "first"}]}
    )

    common.export_model(model, tmp_path / "m.safetensors", "b", {"stage": "second"}, before)

    card = describe(tmp_path / "m.safetensors").card
    assert (card.name, card.licence, card.data_terms) == ("b", "x", "free")
    assert card.training == {"stages": [{"stage": "first"}, {"stage": "second"}]}
