import pytest

from hfdiff.core.errors import SettingsError
from hfdiff.core.settings import to_yaml
from hfdiff.nn.autoencoder import VQAutoencoderConfig
from hfdiff.nn.lite import LiteCodecConfig
from hfdiff.training.presets import PRESETS
from hfdiff.training.run import build, merged, resolve, train
from hfdiff.training.table import STAGES
from training_pieces import published_codec_file, published_teacher_file

ALL = [(stage, name) for stage in PRESETS for name in PRESETS[stage]]


@pytest.mark.parametrize(("stage", "preset"), [*ALL, *((stage, None) for stage in STAGES)])
def test_what_is_printed_and_fed_back_gives_the_same(tmp_path, stage, preset):
    settings = resolve(stage, preset, None, ["seed=7", "data.root=[a, b]", "ema=0.5"])
    (tmp_path / "printed.yaml").write_text(to_yaml(settings))

    assert resolve(stage, None, tmp_path / "printed.yaml", []) == settings


def test_a_preset_is_overridden_by_a_file_and_that_by_pairs(tmp_path):
    (tmp_path / "mine.yaml").write_text("batch: 8\noptimiser: {warmup: 7}\n")

    settings = resolve("teacher", "tiny", tmp_path / "mine.yaml", ["optimiser.warmup=9"])

    assert (settings.batch, settings.iterations) == (8, 40)
    assert settings.optimiser.warmup == 9
    assert settings.optimiser.learning_rate == 1e-3


def test_a_part_that_does_not_name_its_kind_has_the_default_s():
    settings = resolve("autoencoder", None, None, ["codec.width=32"])

    assert settings.codec == LiteCodecConfig(width=32)


def test_a_part_of_another_kind_replaces_the_preset_s_whole_part():
    settings = resolve("autoencoder", "tiny", None, ["codec.n_embed=64", "codec.kind=vq"])

    assert settings.codec == VQAutoencoderConfig(n_embed=64)


def test_terms_are_added_to_a_preset_s_and_switched_off_by_0():
    settings = resolve("distill", "tiny", None, ["terms.vgg=0.5", "terms.adversarial=0"])

    assert settings.terms == {
        "distill": 1.0,
        "inv": 0.1,
        "con": 1.0,
        "l1": 1.0,
        "adversarial": 0.0,
        "vgg": 0.5,
    }


def test_numbers_with_an_exponent_and_no_point_are_numbers():
    """YAML 1.1 reads 5e-4 as text."""
    settings = resolve("teacher", None, None, ["optimiser.learning_rate=5e-4"])

    assert settings.optimiser.learning_rate == 5e-4


@pytest.mark.parametrize(
    ("overrides", "message", "hint"),
    [
        (["iteration=5"], "iteration=5: unknown key iteration", "did you mean iterations?"),
        (
            ["batch=2", "data.workerz=1"],
            "^data.workerz=1: unknown key data.workerz",
            "did you mean workers?",
        ),
        (["network.widht=8"], "network.widht=8: unknown key network.widht", "did you mean width?"),
        (["terms.distill=1"], "terms.distill=1: unknown key terms", "known keys: "),
        (["batch=many"], "batch=many: batch: Input should be a valid integer", None),
        (["ema=2", "batch=2"], r"^ema=2: .*ema must lie in \[0, 1\), got 2.0", None),
    ],
)
def test_a_fault_in_a_pair_is_named_with_the_pairs(overrides, message, hint):
    with pytest.raises(SettingsError, match=message) as caught:
        resolve("teacher", "tiny", None, overrides)

    assert hint is None or hint in caught.value.hint


def test_a_fault_in_a_file_is_named_with_the_file_whatever_the_pairs(tmp_path):
    (tmp_path / "mine.yaml").write_text("optimiser:\n  warm_up: 3\n")

    with pytest.raises(
        SettingsError, match=r"mine\.yaml: unknown key optimiser\.warm_up"
    ) as caught:
        resolve("teacher", None, tmp_path / "mine.yaml", ["batch=2"])

    assert caught.value.hint == "did you mean warmup?"


def test_a_pair_may_mend_what_a_file_alone_could_not_be(tmp_path):
    (tmp_path / "mine.yaml").write_text("data: {gt_size: 66}\n")

    assert resolve("teacher", None, tmp_path / "mine.yaml", ["data.scale=2"]).data.scale == 2


def test_a_file_that_holds_no_settings_is_refused(tmp_path):
    (tmp_path / "mine.yaml").write_text("- a\n- b\n")

    with pytest.raises(SettingsError, match=r"mine\.yaml must hold settings as key: value"):
        resolve("teacher", None, tmp_path / "mine.yaml", [])


@pytest.mark.parametrize(
    ("stage", "preset", "message"),
    [
        (
            "student",
            None,
            "stage must be one of autoencoder, teacher, extractor, distill, got student",
        ),
        ("teacher", "huge", "preset must be one of paper, lite, tiny, got huge"),
    ],
)
def test_unknown_names_are_answered_with_the_known_ones(stage, preset, message):
    with pytest.raises(SettingsError, match=message):
        resolve(stage, preset, None, [])


def test_merging_leaves_its_sources_alone():
    below, above = {"a": {"x": 1}}, {"a": {"y": 2}}

    assert merged(below, above) == {"a": {"x": 1, "y": 2}}
    assert (below, above) == ({"a": {"x": 1}}, {"a": {"y": 2}})


@pytest.mark.parametrize(("stage", "preset"), ALL)
def test_every_preset_builds(ground, stage, preset):
    small_unet = ["network.model_channels=32", "network.swin_embed_dim=64"]
    small_unet += ["network.num_res_blocks=[1, 1, 1, 1]"]
    fit = {  # what the small model files and weights that are not here ask of the larger presets
        ("autoencoder", "paper"): ["codec.ch=32", "codec.num_res_blocks=1"],
        ("teacher", "lite"): ["network.latent_channels=4"],
        ("teacher", "paper"): [f"start={published_codec_file(ground.root)}", *small_unet],
        ("extractor", "paper"): ["labels.crop=plain"],
        ("distill", "lite"): ["terms.lpips=0"],
        ("distill", "paper"): [
            f"start={published_teacher_file(ground.root)}",
            "terms.hf=0",
            "terms.js_dino=0",
        ],
    }
    changes = fit.get((stage, preset), [])
    settings = resolve(stage, preset, None, ground.overrides(stage, "built", *changes))

    built = build(stage, settings, [])

    networks = built.networks()
    assert set(networks) == {name for phase in built.phases for name in phase.networks}
    assert all(any(True for _ in network.parameters()) for network in networks.values())


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        (["out=''"], "out: a run needs a folder", "add out=runs/NAME"),
        (["data.root=[]"], "data.root: a run needs pictures", r"add data.root=[FOLDER]"),
        (["data.gt_size=256"], "none of 4 pictures can be used: shorter side below 256", None),
        (["data.scale=2"], "data.scale is 2, the networks enlarge by 4", None),
        (["network.latent_channels=5"], "the same latent channels, got 5 and 4", None),
        (["network={kind: identity}"], "network: the identity family has nothing to train", None),
    ],
)
def test_what_cannot_run_is_refused_before_the_first_step(ground, changes, message, hint):
    settings = ground.settings("teacher", "refused", *changes)

    with pytest.raises(SettingsError, match=message) as caught:
        train("teacher", settings, device="cpu")

    assert caught.value.hint == hint
    assert not (ground.root / "refused" / "checkpoints").exists()


def test_a_run_is_not_started_over_another(ground):
    ground.train("teacher", "once")

    with pytest.raises(SettingsError, match="once holds a run already") as caught:
        ground.train("teacher", "once")

    assert caught.value.hint == "use --resume, or another out"
