import pytest
import torch

from p3m_lightning.inference.export.open_sizes import open_sizes, pad_to_windows
from p3m_lightning.models import create_model

pytest.importorskip("transformers")
SMALL_SWIN = {
    "embed_dim": 8,
    "depths": (2, 1, 1, 1),
    "num_heads": (1, 1, 1, 1),
    "feature_size": 64,
    "decoder_layers": 1,
    "feed_forward": 32,
}
NETWORKS = {
    "swin": ("stylematte", SMALL_SWIN),
    "swinv2": ("stylematte", {**SMALL_SWIN, "encoder": "swinv2_t"}),
    "vitdet": ("vitmatte_small", {"width": 1 / 6}),
}
# one cell at 1/32; odd maps; nothing to pad at 1/4 for windows of 7 and of 8; the table of relative positions as it is
SIZES = [(1, 1), (20, 33), (90, 150), (56, 64), (512, 16)]


def make(kind):
    """A network whose tables of positions and sampled points are not the zeros that they start from."""
    name, arguments = NETWORKS[kind]
    torch.manual_seed(0)
    net = create_model(name, **arguments).eval()
    for key, parameter in net.named_parameters():
        if any(part in key for part in ("position_bias_table", "rel_pos", "sampling_offsets", "norm3.weight")):
            torch.nn.init.normal_(parameter, std=0.5)
    return net


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_forms_compute_the_same_numbers_at_every_size(kind):
    net = make(kind)
    for height, width in SIZES:
        inputs = [torch.rand(2, 3, height, width)]
        if net.needs_trimap:
            inputs.append(torch.randint(0, 3, (2, 1, height, width)))
        with torch.no_grad():
            expected = net(*inputs).alpha
            with open_sizes():
                actual = net(*inputs).alpha
        assert expected.std() > 0 or height == 1
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-6)


def test_the_originals_are_back_even_after_a_failure():
    make("swin")
    from transformers.models.swin.modeling_swin import SwinLayer

    before = SwinLayer.maybe_pad

    def fail():
        with open_sizes():
            assert SwinLayer.maybe_pad is pad_to_windows
            raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        fail()
    assert SwinLayer.maybe_pad is before
