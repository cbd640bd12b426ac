import numpy as np
import torch

from p3m_lightning.sheets import matting_panels, sheet


def panels(alpha, truth):
    image = torch.full((3, 8, 6), 0.5)
    return matting_panels(image, torch.ones(1, 8, 6, dtype=torch.long), alpha, truth)


def test_error_is_red_where_the_matte_is_too_high_and_blue_where_too_low():
    alpha, truth = torch.zeros(1, 8, 6), torch.zeros(1, 8, 6)
    alpha[0, 0, 0], truth[0, 7, 5] = 1, 1
    error = panels(alpha, truth).error.picture
    assert error[0, 0].tolist() == [255, 0, 0]
    assert error[7, 5].tolist() == [0, 0, 255]
    assert error[4, 3].tolist() == [255, 255, 255]


def test_unknown_region_is_middle_grey():
    picture = panels(torch.zeros(1, 8, 6), torch.zeros(1, 8, 6)).trimap.picture
    assert np.unique(picture).tolist() == [128]


def test_sheet_has_a_cell_for_every_column_and_row():
    rows = [panels(torch.rand(1, 8, 6), torch.rand(1, 8, 6)) for _ in range(3)]
    picture = sheet(rows, ["a", "b", "c"], side=40)
    assert picture.dtype == np.uint8
    assert picture.shape[1] == 5 * 44
    assert picture.shape[0] == 28 + 3 * (40 + 4 + 28)
