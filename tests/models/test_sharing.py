"""A generator is loaded, saved and shared with classes and card, by the Hub's own client."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants as constants
import pytest
import torch
import yaml
from huggingface_hub import hf_api

import fake_hub
from fake_hub import TOKEN, FakeHub
from hqgan.errors import RunError, UsageError
from hqgan.models import About, Generator, HybridQGenerator, load_snapshot, save_snapshot
from hqgan.models.classical import DCGANGenerator
from hqgan.models.sharing import local_folder
from hqgan.pretrained import find_pretrained
from small_runs import same

ABOUT = About("hybridq", ("mel", "nv"), (11, 67), 1000, 0, "hybridq", "c0ffee")
SHARED = {"config.json", "model.safetensors", "hqgan.json", "README.md"}
PACKAGED = "ham10000-64"


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("run") / "snapshot-000001"
    save_snapshot(HybridQGenerator(2, 32, qubits=2, circuit_layers=1), folder, ABOUT)
    return folder


def use(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What HF_ENDPOINT does; the client reads its environment when it is imported."""
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(hf_api.api, "endpoint", address)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    with fake_hub.serving() as hub:
        use(hub.address, monkeypatch)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield hub


def head(card: str) -> dict:
    """The front matter that the Hub reads."""
    return yaml.safe_load(card.split("---")[1])


def test_a_snapshot_and_its_run_come_back_with_classes_and_in_eval_mode(snapshot: Path) -> None:
    for place in (snapshot, str(snapshot), snapshot.parent):
        generator = HybridQGenerator.from_pretrained(place)
        assert not generator.training
        assert generator.about == ABOUT
        assert same(generator, load_snapshot(snapshot)[0])
    assert HybridQGenerator(2, 32, qubits=2).about is None


def test_a_packaged_generator_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where no folder is called so
    generator = HybridQGenerator.from_pretrained(PACKAGED, local_files_only=True)
    assert generator.about is not None
    assert generator.about.classes == ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
    with pytest.raises(UsageError, match=r"no pretrained .* 'ham10000-46'.*Did you mean"):
        HybridQGenerator.from_pretrained("ham10000-46")


def test_another_class_of_generator_is_refused_by_name(snapshot: Path) -> None:
    with pytest.raises(UsageError, match=r"holds a HybridQGenerator .* not a DCGANGenerator"):
        DCGANGenerator.from_pretrained(snapshot)
    assert isinstance(Generator.from_pretrained(snapshot), HybridQGenerator)


def test_what_was_loaded_is_saved_whole(snapshot: Path, tmp_path: Path) -> None:
    generator = HybridQGenerator.from_pretrained(snapshot)
    generator.save_pretrained(tmp_path / "copy")
    assert {file.name for file in (tmp_path / "copy").iterdir()} == SHARED
    again, about = load_snapshot(tmp_path / "copy")
    assert about == ABOUT
    assert same(again, generator)
    assert "| mel | 11 |" in (tmp_path / "copy" / "README.md").read_text()


def test_saving_overwrites_nothing(snapshot: Path, tmp_path: Path) -> None:
    generator = HybridQGenerator.from_pretrained(snapshot)
    folder = shutil.copytree(snapshot, tmp_path / "there")
    before = {file: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(RunError, match="nothing is overwritten"):
        generator.save_pretrained(folder)
    assert {file: file.read_bytes() for file in folder.iterdir()} == before
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot write to"):
        generator.save_pretrained(tmp_path / "file")


def test_the_card_is_what_the_hub_reads_and_names_data_and_licence_when_told(
    snapshot: Path, tmp_path: Path
) -> None:
    generator = HybridQGenerator.from_pretrained(snapshot)
    facts = {"data": "Lesions of 2020", "license": "CC BY-NC 4.0"}
    generator.save_pretrained(tmp_path / "named", model_card_kwargs=facts)
    card = (tmp_path / "named" / "README.md").read_text()
    assert head(card) == {
        "library_name": "hqgan",
        "license": "cc-by-nc-4.0",
        "pipeline_tag": "unconditional-image-generation",
        "tags": ["hqgan", "image-generation", "quantum", "dermatology", "synthetic"],
    }
    assert "| training data | Lesions of 2020, 78 images" in card
    assert "| licence of these data | CC BY-NC 4.0 |" in card
    assert "synthetic, for research, not for diagnosis" in card
    assert "2506.21015" in card
    plain = generator.generate_model_card()
    assert plain.data.license == "unknown"
    assert "not named here" in plain.text


def test_of_the_package_the_four_files_are_saved_and_not_who_was_in_the_training_data(
    tmp_path: Path,
) -> None:
    generator = HybridQGenerator.from_pretrained(find_pretrained(PACKAGED))
    generator.save_pretrained(tmp_path / "copy")
    assert {file.name for file in (tmp_path / "copy").iterdir()} == SHARED
    card = (tmp_path / "copy" / "README.md").read_text()
    assert head(card)["license"] == "cc-by-nc-4.0"
    assert "CC BY-NC 4.0" in card
    assert "| val | kid768 | all |" in card
    about = load_snapshot(tmp_path / "copy")[1]
    assert about.origin is not None
    assert about.origin.licence == "CC BY-NC 4.0"


def test_a_generator_goes_to_the_hub_and_comes_back(hub: FakeHub, snapshot: Path) -> None:
    generator = HybridQGenerator.from_pretrained(snapshot)
    address = generator.push_to_hub("me/lesions", token=TOKEN, private=True)
    assert address.startswith(f"{hub.address}/me/lesions/commit/")
    uploaded = hub.files["me/lesions"]
    assert set(uploaded) == SHARED
    assert hub.private == {"me/lesions"}
    assert uploaded["model.safetensors"] == (snapshot / "model.safetensors").read_bytes()
    assert json.loads(uploaded["hqgan.json"]) == json.loads((snapshot / "hqgan.json").read_text())
    assert head(uploaded["README.md"].decode())["library_name"] == "hqgan"
    back = HybridQGenerator.from_pretrained("me/lesions")
    assert back.about == ABOUT
    assert same(back, generator)
    del hub.files["me/lesions"]  # what was fetched once needs no Hub
    kept = HybridQGenerator.from_pretrained("me/lesions", local_files_only=True)
    assert same(kept, generator)


def test_of_a_repository_the_four_files_are_fetched_and_nothing_else(
    hub: FakeHub, snapshot: Path, tmp_path: Path
) -> None:
    files = {name: (snapshot / name).read_bytes() for name in SHARED}
    others = ("pytorch_model.bin", "state.pt", "evil.py", "sub/config.json", "../config.json",
              "critic.safetensors", ".gitattributes", "config.json.py", "/etc/passwd")  # fmt: skip
    hub.files["me/lesions"] = files | dict.fromkeys(others, b"import os; os.system('true')")
    back = HybridQGenerator.from_pretrained("me/lesions")
    assert back.about == ABOUT
    fetched = [file for file in (tmp_path / "hub").rglob("*") if file.is_file()]
    contents = {file.read_bytes() for file in fetched}
    assert set(files.values()) <= contents
    assert b"import os; os.system('true')" not in contents
    assert {f.name for f in (tmp_path / "hub").glob("models--*/snapshots/*/*")} == SHARED


def test_a_tampered_repository_is_a_sentence(hub: FakeHub, snapshot: Path) -> None:
    files = {name: (snapshot / name).read_bytes() for name in SHARED}
    arguments = json.loads(files["config.json"])
    for number, change in enumerate(({"circuit_layers": 10**9}, {"qubits": 3}, {"twin": [1]})):
        hub.files[f"me/lesions{number}"] = files | {
            "config.json": json.dumps(arguments | change).encode()
        }
        with pytest.raises(RunError, match="cannot be loaded"):
            HybridQGenerator.from_pretrained(f"me/lesions{number}")


def test_what_the_hub_refuses_is_a_sentence(
    hub: FakeHub, snapshot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = HybridQGenerator.from_pretrained(snapshot)
    with pytest.raises(RunError, match=r"me/lesions was not uploaded: .*hf auth login.*HF_TOKEN"):
        generator.push_to_hub("me/lesions")
    hub.may_write = False
    with pytest.raises(RunError, match="token does not allow it"):
        generator.push_to_hub("me/lesions", token=TOKEN)
    with pytest.raises(RunError, match=r"me/absent cannot be had .* no such repository"):
        HybridQGenerator.from_pretrained("me/absent")
    with pytest.raises(RunError, match=r"me/absent cannot be had .* not downloaded before"):
        HybridQGenerator.from_pretrained("me/absent", local_files_only=True)
    hub.files["me/other"] = {"README.md": b"", "model.safetensors": b""}
    with pytest.raises(RunError, match="me/other is no generator of hqgan"):
        HybridQGenerator.from_pretrained("me/other")
    use("http://127.0.0.1:9", monkeypatch)  # where nobody listens
    with pytest.raises(RunError, match=r"me/lesions was not uploaded: "):
        generator.push_to_hub("me/lesions", token=TOKEN)
    with pytest.raises(RunError, match=r"me/gone cannot be had"):
        HybridQGenerator.from_pretrained("me/gone")


def test_a_folder_wins_over_a_name_and_a_path_is_never_looked_up_on_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert local_folder(PACKAGED) == find_pretrained(PACKAGED)
    assert local_folder("me/lesions") is None
    assert local_folder("./me") == Path("me")
    assert local_folder(Path("me/lesions")) == Path("me/lesions")
    Path(PACKAGED).mkdir()
    assert local_folder(PACKAGED) == Path(PACKAGED)
    with pytest.raises(RunError, match="holds no snapshot"):
        HybridQGenerator.from_pretrained(PACKAGED)


def test_one_that_was_built_by_hand_comes_back_without_origin(tmp_path: Path) -> None:
    torch.manual_seed(1)
    built = HybridQGenerator(3, 32, qubits=2, circuit_layers=1)
    built.save_pretrained(tmp_path / "built")
    assert {file.name for file in (tmp_path / "built").iterdir()} == SHARED - {"hqgan.json"}
    back = HybridQGenerator.from_pretrained(tmp_path / "built")
    assert back.about is None
    assert same(back, built)
    with pytest.raises(RunError, match="holds no snapshot"):
        Generator.from_pretrained(tmp_path / "built")  # of which class?
    with pytest.raises(RunError, match="cannot be loaded"):
        DCGANGenerator.from_pretrained(tmp_path / "built")
