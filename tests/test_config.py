"""Presets, precedence, and messages that say which key is wrong and what was meant."""

from pathlib import Path

import pytest

from hqgan.config import (
    differences,
    load_config,
    preset_names,
    read_yaml,
    to_yaml,
    validate,
)
from hqgan.errors import UsageError
from hqgan.schema import Config, absolute_path


@pytest.fixture(autouse=True)
def no_default_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HQGAN_DATA", raising=False)


def write(folder: Path, text: str) -> Path:
    file = folder / "mine.yaml"
    file.write_text(text)
    return file


def test_the_presets_of_the_paper_are_there() -> None:
    assert {"hybridq", "hybridq-v1", "mediq-v2"} <= set(preset_names())


@pytest.mark.parametrize("twin", ["classical", "fourier", "zeros", "random", "product"])
def test_the_preset_of_a_twin_is_hybridq_but_for_the_circuits(twin: str) -> None:
    settings = load_config(f"twin-{twin}").model_dump()
    hybridq = load_config("hybridq").model_dump()
    assert settings["generator"].pop("twin") == twin
    assert hybridq["generator"].pop("twin") is None
    assert settings.pop("preset") == f"twin-{twin}"
    assert hybridq.pop("preset") == "hybridq"
    assert settings == hybridq


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_is_valid_and_survives_the_file(preset: str, tmp_path: Path) -> None:
    config = load_config(preset)
    assert config.preset == preset
    file = write(tmp_path, to_yaml(config))
    assert validate(read_yaml(file)) == config
    assert load_config(file=file) == config  # the config.yaml of a run is a --config


def test_later_sources_override_earlier_ones(tmp_path: Path) -> None:
    file = write(tmp_path, "seed: 1\nbatch: 10\nkimg: 3\nloss: {r1_every: 4}")
    flags = {"batch": 20, "kimg": 4, "size": None}
    config = load_config("hybridq", file, flags, ["kimg=5", "generator.qubits=3"])
    assert (config.seed, config.batch, config.kimg) == (1, 20, 5)
    assert config.size == load_config("hybridq").size  # an absent flag changes nothing
    assert config.loss.r1_every == 4
    assert config.loss.name == load_config("hybridq").loss.name  # sections are merged
    assert config.generator.qubits == 3


def test_the_file_may_name_the_preset_and_a_flag_overrides_it(tmp_path: Path) -> None:
    file = write(tmp_path, "preset: mediq-v2\nseed: 3")
    assert load_config(file=file).generator.name == "mediq-v2"
    config = load_config("hybridq", file)
    assert (config.preset, config.generator.name, config.seed) == ("hybridq", "hybridq", 3)


def test_a_section_with_another_name_replaces_the_old_one(tmp_path: Path) -> None:
    file = write(tmp_path, "generator: {name: hybridq-v1}")
    assert load_config("hybridq", file).generator.model_dump() == {"name": "hybridq-v1"}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("generator.qubit=3", r"unknown key 'generator\.qubit'\. Did you mean 'generator\.qubits'"),
        ("kimgs=3", r"unknown key 'kimgs'\. Did you mean 'kimg'"),
        ("generator.depth=3", r"'generator\.depth' is not one of the generator 'hybridq'"),
        ("generator.qubits=99", r"generator\.qubits is 99: .*20"),
        ("generator.circuit_groups=3", r"generator\.circuit_groups is 3: .*1, 2, 4, 8 or 16"),
        ("generator.name=dcgn", r"generator\.name is 'dcgn', but must be one of 'hybridq'"),
        ("generator=null", r"generator"),
        ("loss.name=lsgan", r"loss\.name is 'lsgan': .*'hinge'"),
        ("size=48", r"size is 48: .*32, 64 or 128"),
        ("batch=1", r"batch is 1: .*greater than or equal to 2"),
        ("kimg=-1", r"kimg is -1: .*greater than or equal to 0\.001"),
        ("kimg=.inf", r"kimg is inf: .*finite"),
        ("kimg=.nan", r"kimg is nan: .*finite"),
        ("kimg=many", r"kimg is 'many': .*number"),
        ("critic.betas=[0.5,1.0]", r"critic\.betas\.1 is 1\.0: .*less than 1"),
        ("critic.betas=[0.5]", r"critic\.betas\.1.* missing"),
        ("data.balance=2", r"data\.balance is 2: .*less than or equal to 1"),
        ("data=5", r"data is 5"),
        ("init.freeze_critic=1", r"'init\.run' is missing"),
        ("seed.a=1", r"'seed\.a' goes below 'seed', which is a value"),
        ("seed", r"KEY=VALUE such as .* got 'seed'"),
        ("=1", r"KEY=VALUE"),
        ("seed=[", r"--set seed: cannot read the value '\['"),
        ("kimg=1e-5", r"kimg is '?1e-0?5'?: .*greater than or equal to 0\.001"),
        ("save_every_kimg=0", r"save_every_kimg is 0: .*greater than or equal to 0\.001"),
        ("generator.z_dim=1000000000", r"generator\.z_dim is 1000000000: .*equal to 4096"),
        ("critic.width=1000000", r"critic\.width is 1000000: .*equal to 4096"),
        ("preset=mediq-v2", r"use --preset instead"),
        ("data.path=~nobody-of-this-name/images", r"data\.path is .* cannot be found"),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_expected(assignment: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_config("hybridq", overrides={"seed": 0}, assignments=[assignment])


def test_every_wrong_key_is_named_at_once() -> None:
    with pytest.raises(UsageError, match=r"size is 48.*batch is 1"):
        load_config("hybridq", assignments=["size=48", "batch=1"])


def test_a_width_belongs_to_the_critic_that_has_one() -> None:
    assert load_config("hybridq", assignments=["critic.width=8"]).critic.width == 8
    with pytest.raises(
        UsageError, match=r"'critic\.width' is not one of the critic 'label-channel'"
    ):
        load_config("hybridq-v1", assignments=["critic.width=8"])


def test_an_unknown_preset_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"'hybird'; known are .*Did you mean 'hybridq'"):
        load_config("hybird")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: [", "is not valid YAML"),
        ("- seed", "must hold keys and values, but holds list"),
        ("", "must hold keys and values, but holds NoneType"),
        ("preset: [1, 2]", r"unknown preset"),
        ("preset: hybridq\nlearning: 1", r"unknown key 'learning'"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_config(file=write(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the configuration .*no\.yaml: No such file"):
        load_config(file=tmp_path / "no.yaml")


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    file = tmp_path / "image.yaml"
    file.write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(UsageError, match=r"image\.yaml is not valid YAML"):
        load_config(file=file)


def test_data_come_from_the_flag_then_the_environment_then_are_embedded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert load_config().data.path == "embedded"
    monkeypatch.setenv("HQGAN_DATA", str(tmp_path))
    assert load_config().data.path == str(tmp_path)
    assert load_config(overrides={"data.path": "embedded"}).data.path == "embedded"
    monkeypatch.setenv("HQGAN_DATA", "")
    assert load_config().data.path == "embedded"


def test_paths_are_kept_so_that_any_folder_may_be_the_current_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config(overrides={"data.path": "images", "init.run": "runs/a"})
    assert config.data.path == str(tmp_path / "images")
    assert config.init is not None
    assert config.init.run == str(tmp_path / "runs" / "a")


def changed(*assignments: str, **flags: object) -> list[str]:
    return differences(load_config(), load_config(overrides=flags, assignments=assignments))


def test_differences_name_each_key_with_both_values() -> None:
    assert changed("seed=1", "loss.name=hinge") == [
        "loss.name: 'non-saturating' -> 'hinge'",
        "seed: 0 -> 1",
    ]
    assert "init.run: None -> '/a'" in changed("init.run=/a", "init.label_map={a: b}")


def test_where_and_how_far_a_run_goes_is_free_to_change(tmp_path: Path) -> None:
    free = ["kimg=999", "device=cuda", "save_every_kimg=1", f"data.path={tmp_path}"]
    assert changed(*free) == []


def test_a_configuration_cannot_be_edited() -> None:
    config: Config = load_config()
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 1


def test_a_path_is_one_path_however_it_is_spelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Configurations, records and messages name the same data alike."""
    (tmp_path / "images").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    plain = str(tmp_path / "images")
    for spelled in (plain, "../images", "./../images/", "../work/../images"):
        assert absolute_path(spelled) == plain
    assert absolute_path("../none/../gone") == str(tmp_path / "gone")


def test_two_dots_behind_a_link_lead_where_the_system_leads(tmp_path: Path) -> None:
    (tmp_path / "far" / "inner").mkdir(parents=True)
    (tmp_path / "far" / "images").mkdir()
    (tmp_path / "near").mkdir()
    (tmp_path / "near" / "link").symlink_to(tmp_path / "far" / "inner")
    spelled = str(tmp_path / "near" / "link" / ".." / "images")
    assert Path(absolute_path(spelled)).samefile(tmp_path / "far" / "images")


def test_a_date_that_is_none_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("size: 2020-13-45")
    with pytest.raises(UsageError, match="not valid YAML: month"):
        load_config(file=tmp_path / "config.yaml")
    with pytest.raises(UsageError, match="cannot read the value"):
        load_config(assignments=["size=2020-13-45"])
