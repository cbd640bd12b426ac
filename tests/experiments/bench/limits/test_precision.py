import json

import numpy as np
import pytest

from p3m_lightning.cli import main
from p3m_lightning.experiments.bench.limits import precision
from p3m_lightning.images import Photo, write_image
from p3m_lightning.schema import InputError


class Constant:
    """Stands for a predictor: everywhere the same alpha."""

    def __init__(self, value):
        self.value = value

    def batch(self, photos):
        (photo,) = photos
        return [type("Matte", (), {"alpha": np.full(photo.pixels.shape[:2], self.value, np.float32)})]


@pytest.fixture
def photographs(tmp_path):
    for k, side in enumerate((10, 40)):
        write_image(tmp_path / "photos" / f"{k}.png", np.zeros((side, side, 3), np.uint8))
    return tmp_path / "photos"


def test_the_difference_is_counted_by_hand(photographs):
    found = precision.compare({"32": Constant(0.5), "bf16": Constant(0.4)}, sorted(photographs.iterdir()))
    assert found["sad_worst"] == pytest.approx(0.1 * 1600 / 1000, rel=1e-5)
    assert found["sad_mean"] == pytest.approx(0.1 * (100 + 1600) / 2 / 1000, rel=1e-5)
    assert (found["images"], found["within"]) == (2, 1)


@pytest.mark.parametrize(("apart", "expected"), [(0.01, "bf16"), (0.1, "32")])
def test_bfloat16_may_stand_in_where_every_image_stays_below_the_limit(photographs, monkeypatch, apart, expected):
    values = {"32": 0.5, "bf16": 0.5 - apart}
    monkeypatch.setattr(precision, "predictor", lambda checkpoint, name: Constant(values[name]))
    found = precision.bench({"net": None}, {"a": sorted(photographs.iterdir())})
    assert found["default"] == {"net": expected}


def test_groups_are_named_and_nothing_is_refused(photographs, tmp_path):
    assert [path.name for path in precision.listed([f"mine={photographs}"])["mine"]] == ["0.png", "1.png"]
    assert precision.listed([f"one={photographs / '1.png'}"]) == {"one": [photographs / "1.png"]}
    for wrong in ("mine", "mine="):
        with pytest.raises(InputError, match="give NAME=PATH"):
            precision.listed([wrong])
    with pytest.raises(InputError, match="no such folder"):
        precision.listed([f"mine={tmp_path / 'none'}"])


def test_the_network_in_the_box_is_compared(photographs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(precision, "free_pictures", lambda: {})
    assert main(["bench", "precision", f"mine={photographs}", "-o", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [(row["network"], row["group"], row["images"]) for row in found["rows"]] == [("box", "mine", 2)]
    assert found["default"]["box"] in ("32", "bf16")


def test_free_portraits_are_photographs():
    for files in precision.free_pictures().values():
        assert isinstance(precision.read_photo(files[0]), Photo)
