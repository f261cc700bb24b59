"""Protocols of studies: what they fix, what they refuse, and that the example is one."""

from importlib import resources
from pathlib import Path

import pytest
import yaml

from hqgan.errors import UsageError
from hqgan.protocol import Protocol, read_protocol

SMALLEST = """
data: embedded
arms:
  standard: {}
  hybridq: {generator: hybridq}
primary:
  comparisons: [[hybridq, standard]]
"""


def protocol(tmp_path: Path, text: str) -> Protocol:
    file = tmp_path / "study.yaml"
    file.write_text(text)
    return read_protocol(file)


def test_the_example_that_users_start_from_is_a_protocol(tmp_path: Path) -> None:
    example = resources.files("hqgan.workflows.study").joinpath("example.yaml").read_text()
    found = protocol(tmp_path, example)
    assert found.seeds == 8
    assert found.arms["hybridq"].generator == "hybridq"


def test_what_is_not_said_is_eight_seeds_and_balanced_accuracy(tmp_path: Path) -> None:
    found = protocol(tmp_path, SMALLEST)
    assert found.seeds == 8
    assert found.primary.measure == "balanced_accuracy"
    assert found.arms["hybridq"].class_filter


def test_a_list_of_ratios_is_an_arm_each(tmp_path: Path) -> None:
    text = SMALLEST.replace("{generator: hybridq}", "{generator: hybridq, ratio: [max, 1, 0.5]}")
    text = text.replace("[hybridq, standard]", "[hybridq@max, standard]")
    arms = protocol(tmp_path, text).expanded()
    assert list(arms) == ["standard", "hybridq@max", "hybridq@1.0", "hybridq@0.5"]
    assert arms["hybridq@0.5"].ratio == 0.5


def test_data_may_be_named_by_whoever_runs_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(SMALLEST.replace("data: embedded\n", ""))
    monkeypatch.setenv("HQGAN_DATA", "/images")
    assert read_protocol(file).data == "/images"
    assert read_protocol(file, "/others").data == "/others"


def test_a_relative_path_is_found_from_any_folder(tmp_path: Path) -> None:
    found = protocol(tmp_path, SMALLEST.replace("embedded", "images"))
    assert Path(found.data).is_absolute()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("data: embedded", "data: embedded\nsead: 3", "unknown key 'sead'. Did you mean 'seeds'?"),
        ("primary:\n  comparisons: [[hybridq, standard]]", "", "key 'primary' is missing"),
        ("data: embedded", "data: embedded\nseeds: 0", "seeds is 0"),
        ("[hybridq, standard]", "[hybrid, standard]", "'hybrid' is no arm"),
        ("[hybridq, standard]", "[standard, standard]", "with itself"),
        ("[[hybridq, standard]]", "[]", "primary.comparisons is"),
        ("[[hybridq, standard]]", "[[hybridq, standard], [standard, hybridq]]", "twice"),
        ("generator: hybridq", "generator: hybridqq", "Did you mean 'hybridq'?"),
        ("{generator: hybridq}", "{ratio: median}", "name a generator"),
        ("{generator: hybridq}", "{generator: hybridq, ratio: []}", "one or more that differ"),
        ("{generator: hybridq}", "{generator: hybridq, ratio: [1, 1]}", "that differ"),
        ("  standard: {}\n", "  standard: {}\n  Standard: {}\n", "upper and lower case"),
        ("data: embedded", "data: embedded\nseeds: true", "seeds is True"),
        ("{generator: hybridq}", "{generator: hybridq, ratio: most}", "ratio"),
        ("{generator: hybridq}", "{generator: hybridq, ratio: -1}", "ratio"),
        ("  standard: {}\n", "", "arms"),
        (
            "{generator: hybridq}",
            "{generator: hybridq, real: false, synthetic_until: 0.5}",
            "nothing to show afterwards",
        ),
        ("data: embedded", "data: embedded\nfractions: [0.5, 0.5]", "twice"),
        ("data: embedded", "data: embedded\nfractions: [1.5]", "fractions"),
        ("data: embedded", "data: embedded\ndata: embedded", "'data' is there twice"),
        (
            "data: embedded",
            "data: embedded\nclassifier: {weights: {resnet-smal: file}}",
            "Did you mean 'resnet-small'?",
        ),
        ("data: embedded", "data: embedded\nbaseline: nothing", "'nothing' is no arm"),
        ("hybridq: {", "../hybridq: {", "arms"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in SMALLEST
    with pytest.raises(UsageError) as refusal:
        protocol(tmp_path, SMALLEST.replace(old, new))
    assert message in str(refusal.value)
    assert "study.yaml" in str(refusal.value)


def test_more_than_three_primary_comparisons_are_refused(tmp_path: Path) -> None:
    arms = "\n".join(f"  arm{i}: {{}}" for i in range(5))
    pairs = ", ".join(f"[arm{i}, arm{i + 1}]" for i in range(4))
    text = f"data: embedded\narms:\n{arms}\nprimary:\n  comparisons: [{pairs}]\n"
    with pytest.raises(UsageError, match=r"primary\.comparisons"):
        protocol(tmp_path, text)


def test_a_file_that_is_no_yaml_or_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not valid YAML"):
        protocol(tmp_path, "arms: [")
    with pytest.raises(UsageError, match="cannot read"):
        read_protocol(tmp_path / "nothing.yaml")


def test_a_protocol_written_out_is_read_back_the_same(tmp_path: Path) -> None:
    found = protocol(tmp_path, SMALLEST)
    again = protocol(tmp_path, yaml.safe_dump(found.model_dump(mode="json")))
    assert again == found


def test_a_protocol_keeps_its_checksum_when_hqgan_learns_new_keys(tmp_path: Path) -> None:
    # Computed by the version that had the first studies; a study begun then must go on.
    text = """data: embedded
size: 32
seeds: 6
arms:
  standard: {}
  hybridq: {generator: hybridq, ratio: [1.0, 2.0]}
primary:
  comparisons: [[hybridq@1.0, standard]]
"""
    first = "52ff9d87a54122242a1adb74147ef99e1207a55724996a274c801441946265be"
    assert protocol(tmp_path, text).checksum() == first
    other = text.replace("ratio: [1.0, 2.0]", "ratio: [1.0, 2.0], synthetic_until: 0.5")
    assert protocol(tmp_path, other).checksum() != first
