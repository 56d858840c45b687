"""A disk that is full: what was there before stays as it was, nothing half-written is left, and the next try works.

The disk is a tmpfs of a megabyte, where this machine lets one be mounted; elsewhere /dev/full stands in for a part of it.
"""

import os
import shutil
import subprocess

import pytest
from checkpoints import make_checkpoint, small_model
from hub_client import CONFIG, FILES, LOADED, WEIGHTS, Client
from hub_server import HubServer
from training_rows import same_tensors, trainer_of

from minibert import AutoModel, AutoTokenizer, ModelFileError, TrainerCallback
from minibert.files import atomic_write

SIZE = 1 << 20


@pytest.fixture
def disk(tmp_path):
    """A folder with room for a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"no disk of its own: {error}")
    if done.returncode:
        pytest.skip(f"no disk of its own: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder, left):
    """Leave so many bytes of the disk."""
    room = os.statvfs(folder)
    (folder / "filler").write_bytes(bytes(max(0, room.f_bavail * room.f_bsize - left)))


def test_saving_to_a_full_disk_leaves_the_model_that_was_there(disk):
    folder = make_checkpoint(disk / "m", "distilbert", "Model")
    fill(disk, 8192)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for large in (small_model("distilbert", "Model", dim=64, hidden_dim=256), AutoTokenizer.from_pretrained("minibert-sst2")):
        with pytest.raises(ModelFileError, match="cannot be written: .*No space left on device.* What was there"):
            large.save_pretrained(folder)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert AutoModel.from_pretrained(folder)([[2, 3]]).last_hidden_state.shape == (1, 2, 8)
    (disk / "filler").unlink()
    large.save_pretrained(folder)
    assert len(AutoTokenizer.from_pretrained(folder)) == len(large)


def test_a_download_to_a_full_disk_says_so_and_goes_on_when_there_is_room(disk):
    files = FILES | {WEIGHTS: FILES[WEIGHTS] * 40}  # 640 kB
    with HubServer({"tiny/bert": files}) as server, Client(server, disk / "cache") as client:
        client.locate("tiny/bert")
        fill(disk, 100_000)
        with pytest.raises(ModelFileError, match=f"'{WEIGHTS}'.*No space left on device|'{WEIGHTS}'.*[Tt]ry again"):
            client.file(WEIGHTS)
        assert not list(disk.glob(f"cache/models--*/snapshots/*/{WEIGHTS}"))
        (disk / "filler").unlink()
        assert client.load("tiny/bert") == [LOADED[0], LOADED[1] * 40]
        assert client.file(CONFIG) == LOADED[0]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_device_that_takes_nothing_is_one_error(tmp_path):
    def write(aside):
        with open("/dev/full", "wb", buffering=0) as full:
            full.write(b"x")

    with pytest.raises(ModelFileError, match="x.json cannot be written: No space left on device"):
        atomic_write(tmp_path / "x.json", write)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_a_file_is_one_error(tmp_path):
    (tmp_path / "file").write_text("")
    for saved in (small_model(), AutoTokenizer.from_pretrained("minibert-sst2"), small_model().config):
        with pytest.raises(ModelFileError, match="cannot be written: (File exists|Not a directory)"):
            saved.save_pretrained(tmp_path / "file")


def test_a_training_on_a_full_disk_keeps_its_checkpoints_and_goes_on_when_there_is_room(disk):
    whole = trainer_of(disk / "whole", save_steps=3)
    whole.train()
    shutil.rmtree(disk / "whole")
    trainer = trainer_of(disk / "out", save_steps=3, callbacks=[FillAt(disk, step=5)])
    with pytest.raises(ModelFileError, match="checkpoint .*checkpoint-6 cannot be written: .*No space left on device"):
        trainer.train()
    assert [path.name for path in (disk / "out").iterdir()] == ["checkpoint-3"]
    (disk / "filler").unlink()
    again = trainer_of(disk / "out", save_steps=3)
    again.train(resume_from_checkpoint=True)
    assert same_tensors(again.model.tensors, whole.model.tensors)


class FillAt(TrainerCallback):
    """Leave no room for a checkpoint after this step."""

    def __init__(self, disk, step):
        self.disk, self.step = disk, step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            fill(self.disk, 8192)
