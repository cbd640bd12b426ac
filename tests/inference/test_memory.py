import pytest

from p3m_lightning.inference.memory import choose_mode
from p3m_lightning.inference.modes import MODES, TRIMAP_MODES, Passes

UNBRANCHED = ("resize", "native", "tiled")


@pytest.mark.parametrize(
    ("size", "offered", "free", "passes", "mode"),
    [
        ((300, 400), tuple(MODES), None, {}, "native"),
        ((1080, 1590), tuple(MODES), None, {}, "hybrid"),
        ((5200, 7700), tuple(MODES), None, {}, "tiled"),
        ((1080, 1590), tuple(MODES), 1_000_000_000, {}, "tiled"),  # hybrid would take 3.4 GB
        ((1080, 1590), UNBRANCHED, None, {}, "resize"),
        ((5200, 7700), UNBRANCHED, None, {"short_side": 512}, "resize"),
        ((1080, 1590), TRIMAP_MODES, None, {}, "native"),
        ((1080, 1590), TRIMAP_MODES, 1_000_000_000, {}, "resize"),
        ((300, 400), tuple(MODES), None, {"scale": 0.3125}, "resize"),  # it knows no other size
        ((5200, 7700), tuple(MODES), None, {"short_side": 160}, "resize"),
        ((300, 400), tuple(MODES), None, {"scale": 1 / 3, "detail_scale": 0.5}, "hybrid"),  # GFM's
        ((2000, 3000), tuple(MODES), None, {"scale": 1 / 3, "detail_scale": 0.5}, "hybrid"),
        ((2400, 3600), tuple(MODES), None, {"scale": 1 / 3, "detail_scale": 0.5}, "tiled"),
    ],
)
def test_auto_picks_by_size_memory_and_what_the_network_is_used_to(size, offered, free, passes, mode):
    assert choose_mode(size, offered, free, Passes(**passes)) == mode


@pytest.mark.parametrize(
    ("usual", "free", "mode"), [("resize", None, "resize"), ("native", None, "native"), ("native", 10**9, "tiled")]
)
def test_auto_keeps_to_the_mode_of_the_evaluation_while_it_fits(usual, free, mode):
    assert choose_mode((1080, 1590), tuple(MODES), free, Passes(), usual) == mode
