import numpy as np
import pytest
import torch

from p3m_lightning.data.loading.batches import as_floats, collate, to_sample
from p3m_lightning.schema import UNKNOWN, InputError


def maps(alpha):
    return {
        "image": np.array([[[255, 0, 51], [0, 0, 0]]], np.uint8),
        "alpha": np.array([[alpha, alpha]]),
        "trimap": np.array([[UNKNOWN, 2]], np.uint8),
        "plan": None,
    }


def test_a_sample_holds_tensors_in_their_ranges():
    sample = to_sample(maps(np.uint16(65535)), "a")
    assert sample.keys() == {"name", "image", "alpha", "trimap"}
    assert sample["name"] == "a"
    assert torch.allclose(sample["image"][:, 0, 0], torch.tensor([1.0, 0.0, 0.2]))
    assert sample["image"].shape == (3, 1, 2)
    assert sample["alpha"].tolist() == [[[1.0, 1.0]]]
    assert sample["trimap"].tolist() == [[[UNKNOWN, 2]]]
    assert sample["trimap"].dtype == torch.int64


def test_bytes_travel_and_floats_arrive():
    batch = collate([(maps(np.uint8(51)), "a"), (maps(np.uint8(255)), "b")])
    assert {batch[role].dtype for role in ("image", "alpha", "trimap")} == {torch.uint8}
    ready = as_floats(batch)
    assert ready["image"].shape == (2, 3, 1, 2)
    assert ready["image"].is_contiguous()
    assert torch.allclose(ready["alpha"][:, 0, 0, 0], torch.tensor([0.2, 1.0]))
    assert ready["name"] == ["a", "b"]


def test_mattes_of_8_and_16_bits_share_a_batch():
    ready = as_floats(collate([(maps(np.uint8(255)), "a"), (maps(np.uint16(13107)), "b")]))
    assert torch.allclose(ready["alpha"][:, 0, 0, 0], torch.tensor([1.0, 0.2]))


def test_the_first_error_takes_the_place_of_the_batch():
    error = InputError("a.png: broken")
    assert collate([(maps(np.uint8(1)), "a"), error]) is error


def test_arrays_that_cannot_be_written_to_are_taken_without_a_warning(recwarn):
    frozen = maps(np.uint8(7))
    for array in (frozen["image"], frozen["alpha"]):
        array.flags.writeable = False
    to_sample(frozen, "a")
    assert not recwarn.list


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_floats_are_made_on_the_device():
    batch = collate([(maps(np.uint8(51)), "a")])
    ready = as_floats({role: value.cuda() if torch.is_tensor(value) else value for role, value in batch.items()})
    assert ready["image"].is_cuda
    assert torch.allclose(ready["alpha"].cpu(), torch.full((1, 1, 1, 2), 0.2))
