import json
import warnings

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from p3m_lightning.metrics import functional as F
from p3m_lightning.metrics.definitions import ADOBE, P3M
from p3m_lightning.ops import trimap_from_alpha
from p3m_lightning.schema import InputError

P3M_KEYS = dict(
    zip(
        ["SAD", "MSE", "MAD", "SAD_TRIMAP", "MSE_TRIMAP", "MAD_TRIMAP", "SAD_FG", "SAD_BG", "GRAD", "CONN"],
        P3M,
        strict=True,
    )
)
ADOBE_KEYS = {"SAD": "sad", "MSE": "mse", "GRAD": "gradient", "CONN": "connectivity"}
RELATIVE, ABSOLUTE = 1e-4, 1e-7  # as recorded in edge_cases.json

PORTRAITS = [
    "p_015cd10e",
    "p_07141906",
    "p_0865636e",
    "p_22fc0130",
    "p_514ca06a",
    "p_71bcce3a",
    "p_a09f6d7a",
    "p_bac3c1ff",
    "p_d684dae3",
]
EDGE_CASES = [
    "identical",
    "noisy_disc",
    "gt_all_zero",
    "gt_all_zero_unknown",
    "gt_all_one",
    "gt_all_one_unknown",
    "both_zero",
    "both_one",
    "no_unknown_consistent",
    "no_unknown_inconsistent",
    "unknown_coded_127",
    "trimap_inconsistent",
    "pred_islands",
    "both_islands",
    "islands_of_equal_area",
    "diagonal_touch",
    "no_common_component",
    "common_only_low",
    "threshold_levels",
    "threshold_staircase",
    "pred_constant",
    "low_contrast",
    "all_unknown",
    "random_noise",
    "touches_border",
]


def portrait(golden_portraits, samples, name):
    """Recorded values of both conventions and the 8-bit codes of prediction and truth."""
    records = []
    for file in ("p3m_metrics.json", "adobe_metrics.json"):
        listed = json.loads((golden_portraits / "metrics" / file).read_text())["samples"]
        records.append(next(record for record in listed if record["id"] == name))
    codes = []
    for side in ("pred", "gt"):
        path = records[0][side]
        root = golden_portraits if path.startswith("metrics/") else samples / "p3m"
        codes.append(np.asarray(Image.open(root / path)))
    return *records, *codes


def edge_case(golden, name):
    """Recorded values, and prediction, truth and trimap as 8-bit codes."""
    arrays = np.load(golden / "metrics/edge_cases.npz")
    record = json.loads((golden / "metrics/edge_cases.json").read_text())["cases"][name]
    return record, *(arrays[f"{name}/{part}"] for part in ("pred", "gt", "trimap"))


def expect(values, recorded, keys):
    """The recorded values, or 0 where the reference divides by zero."""
    expected = {keys[k]: v if isinstance(v, int | float) else 0.0 for k, v in recorded.items()}
    assert {key: values[key] for key in expected} == pytest.approx(expected, rel=RELATIVE, abs=ABSOLUTE)


def soft_matte(seed, height=60, width=80):
    """Smooth blobs between 0 and 1, solid in places, as float64 codes over 255."""
    noise = np.random.default_rng(seed).normal(size=(height, width))
    blobs = ndimage.gaussian_filter(noise, 4) * 12 + 0.4
    return np.rint(np.clip(blobs, 0, 1) * 255) / 255


@pytest.mark.parametrize("name", PORTRAITS)
def test_portraits_score_as_recorded_by_both_conventions(golden_portraits, samples, name):
    p3m, adobe, pred, target = portrait(golden_portraits, samples, name)
    trimap = trimap_from_alpha(target, 25)
    values = F.matting_metrics(pred / 255, target / 255, trimap)
    expect(values, p3m["values"], P3M_KEYS)
    assert values["gradient"] == pytest.approx(p3m["values_double_intermediates"]["GRAD"], rel=1e-6)

    values = F.adobe_metrics(pred / 255, target / 255, trimap)
    expect(values, adobe["whole_image_no_trimap"], ADOBE_KEYS)
    expect(values, adobe["unknown_region"], {k: f"{v}_unknown" for k, v in ADOBE_KEYS.items()})


@pytest.mark.parametrize("name", EDGE_CASES)
def test_edge_cases_score_as_recorded_and_never_divide_by_zero(golden, name):
    record, pred, target, trimap = edge_case(golden, name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = F.matting_metrics(pred / 255, target / 255, trimap)
        adobe = F.adobe_metrics(pred / 255, target / 255, trimap)
    expect(values, record["p3m"], P3M_KEYS)
    expect(adobe, record["adobe_whole_image_no_trimap"], ADOBE_KEYS)
    if name != "unknown_coded_127":  # the published code knows 128 only and calls everything perfect here
        expect(adobe, record["adobe_unknown_region"], {k: f"{v}_unknown" for k, v in ADOBE_KEYS.items()})


def test_recorded_edge_cases_are_all_tested(golden):
    assert set(json.loads((golden / "metrics/edge_cases.json").read_text())["cases"]) == set(EDGE_CASES)


def test_127_is_unknown_as_128_is(golden):
    _, pred, target, trimap = edge_case(golden, "unknown_coded_127")
    plain = np.where(trimap == 127, 128, trimap).astype(np.uint8)
    assert F.adobe_metrics(pred / 255, target / 255, trimap) == F.adobe_metrics(pred / 255, target / 255, plain)


@pytest.mark.parametrize("name", ["threshold_levels", "threshold_staircase", "noisy_disc"])
def test_single_precision_tensors_score_exactly_as_double_arrays(golden, name):
    _, pred, target, trimap = edge_case(golden, name)
    double = F.matting_metrics(pred / 255, target / 255, trimap)
    tensors = [torch.from_numpy(codes)[None].float() / 255 for codes in (pred, target)]
    assert F.matting_metrics(*tensors, torch.from_numpy(trimap)[None].long()) == double
    assert F.connectivity_error(*tensors) == double["connectivity"]


def test_half_precision_tensors_are_accepted():
    pred, target = soft_matte(0), soft_matte(1)
    tensors = [torch.from_numpy(matte).bfloat16() for matte in (pred, target)]
    assert F.sad(*tensors) == pytest.approx(F.sad(pred, target), rel=1e-2)


def test_single_functions_are_the_entries_of_the_dictionary():
    pred, target = soft_matte(0), soft_matte(1)
    single = {
        "sad": F.sad(pred, target),
        "mse": F.mse(pred, target),
        "mad": F.mad(pred, target),
        "gradient": F.gradient_error(pred, target),
        "connectivity": F.connectivity_error(pred, target),
    }
    assert F.matting_metrics(pred, target) == single
    assert all(value > 0 for value in single.values())


def test_classes_and_codes_name_the_same_trimap():
    pred, target = soft_matte(0), soft_matte(1)
    classes = trimap_from_alpha(np.rint(target * 255).astype(np.uint8), 5)
    assert len(np.unique(classes)) == 3
    codes = np.array([0, 128, 255], np.uint8)[classes]
    by_class = F.matting_metrics(pred, target, classes)
    assert by_class == F.matting_metrics(pred, target, codes)
    assert list(by_class) == list(P3M)
    assert list(F.adobe_metrics(pred, target, classes)) == list(ADOBE)


@pytest.mark.parametrize("seed", range(6))
def test_regions_divide_the_whole_when_the_trimap_fits_the_truth(seed):
    pred, target = soft_matte(seed), soft_matte(seed + 100)
    values = F.matting_metrics(pred, target, trimap_from_alpha(np.rint(target * 255).astype(np.uint8), 7))
    parts = values["sad_unknown"] + values["sad_foreground"] + values["sad_background"]
    assert parts == pytest.approx(values["sad"], rel=1e-12)


def naive_gradient(pred, target):
    magnitudes = []
    for matte in (pred, target):
        across, down = (ndimage.gaussian_filter(matte, 1.4, order=order) for order in ((0, 1), (1, 0)))
        magnitudes.append(np.hypot(across, down))
    return ((magnitudes[0] - magnitudes[1]) ** 2).sum() / 10


def naive_connectivity(pred, target):
    level = np.full(pred.shape, np.nan)
    for i in range(1, 11):
        labels, count = ndimage.label((pred >= i * 0.1) & (target >= i * 0.1))
        if count:
            sizes = [np.sum(labels == k) for k in range(1, count + 1)]
            outside = labels != 1 + sizes.index(max(sizes))
            level[np.isnan(level) & outside] = (i - 1) * 0.1
    level[np.isnan(level)] = 1
    degrees = [1 - (matte - level) * (matte - level >= 0.15) for matte in (pred, target)]
    return np.abs(degrees[0] - degrees[1]).sum() / 1000


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (3, 2), (13, 12), (60, 80)])
@pytest.mark.parametrize("seed", range(4))
def test_gradient_and_connectivity_equal_the_plain_loops(shape, seed):
    pred, target = soft_matte(seed, *shape), soft_matte(seed + 50, *shape)
    assert F.gradient_error(pred, target) == pytest.approx(naive_gradient(pred, target), rel=1e-5, abs=1e-9)
    assert F.connectivity_error(pred, target) == pytest.approx(naive_connectivity(pred, target), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_connectivity_is_right_without_a_component_that_rules(seed):
    random = np.random.default_rng(seed)
    pred, target = (random.integers(0, 11, (40, 50)) / 10 for _ in range(2))
    assert F.connectivity_error(pred, target) == pytest.approx(naive_connectivity(pred, target), rel=1e-6)


@pytest.mark.parametrize("turn", [np.flipud, np.fliplr, np.transpose, np.rot90])
@pytest.mark.parametrize("measure", [F.matting_metrics, F.adobe_metrics])
def test_mirroring_and_turning_both_mattes_changes_nothing(turn, measure):
    pred, target = soft_matte(3), soft_matte(4)
    turned = measure(turn(pred), turn(target))
    assert turned == pytest.approx(measure(pred, target), rel=1e-5)


@pytest.mark.parametrize("corner", [(0, 0), (20, 33), (60, 90)])
def test_an_error_costs_the_same_wherever_it_lies_in_an_empty_picture(corner):
    pred, target = (np.pad(soft_matte(seed, 40, 50), 16) for seed in (5, 6))
    y, x = corner
    canvases = np.zeros((2, 140, 180))
    canvases[:, y : y + 72, x : x + 82] = pred, target
    for error in (F.gradient_error, F.connectivity_error, F.sad):
        assert error(*canvases) == pytest.approx(error(pred, target), rel=1e-6)


def test_distances_are_symmetric():
    pred, target = soft_matte(7), soft_matte(8)
    there, back = F.matting_metrics(pred, target), F.matting_metrics(target, pred)
    assert there == pytest.approx(back, rel=1e-9)


def test_face_metrics_count_only_the_face():
    pred, target = soft_matte(0), soft_matte(1)
    face = np.zeros(target.shape)
    face[10:30, 20:50] = 1
    inside = pred[10:30, 20:50], target[10:30, 20:50]
    expected = {"sad_face": F.sad(*inside), "mse_face": F.mse(*inside), "mad_face": F.mad(*inside)}
    for mask in (face, face.astype(bool), (face * 255).astype(np.uint8), torch.from_numpy(face)):
        assert F.face_metrics(pred, target, mask) == pytest.approx(expected, rel=1e-12)


def test_a_picture_without_a_face_has_no_face_metrics():
    assert F.face_metrics(soft_matte(0), soft_matte(1), np.zeros((60, 80))) == {}


@pytest.mark.parametrize(
    ("pred", "message"),
    [
        (np.full((4, 6), 255, np.uint8), r"pred: uint8 values, 255 to 255.*\[0, 1\].*255"),
        (np.zeros((4, 6), np.int64), "pred: int64"),
        (np.full((4, 6), 255.0), r"pred: values from 255 to 255.*\[0, 1\]"),
        (np.full((4, 6), -0.01), r"pred: values from -0.01"),
        (np.full((4, 6), np.nan), "pred: values from nan"),
        (np.zeros((4, 5)), "pred: 5 x 4 pixels, but the true matte has 6 x 4"),
        (np.zeros((3, 4, 6)), r"pred: shape \(3, 4, 6\)"),
        (np.zeros((0, 6)), r"pred: shape \(0, 6\)"),
    ],
)
@pytest.mark.parametrize("measure", [F.sad, F.mse, F.mad, F.gradient_error, F.connectivity_error, F.matting_metrics])
def test_what_is_no_matte_is_refused_with_its_range_or_size(pred, message, measure):
    with pytest.raises(InputError, match=message):
        measure(pred, np.zeros((4, 6)))


@pytest.mark.parametrize(
    ("trimap", "message"),
    [
        (np.zeros((4, 5), np.uint8), "trimap: 5 x 4 pixels, but the true matte has 6 x 4"),
        (np.full((4, 6), 0.5), "trimap: values from 0.5 to 0.5"),
        (np.full((4, 6), -1), "trimap: values from -1"),
        (np.full((4, 6), 65535), "trimap: values from 65535"),
    ],
)
def test_what_is_no_trimap_is_refused(trimap, message):
    with pytest.raises(InputError, match=message):
        F.matting_metrics(np.zeros((4, 6)), np.zeros((4, 6)), trimap)


@pytest.mark.parametrize("codes", [(0, 100, 255), (0, 127, 254), (0, 1, 255), (0, 127, 128, 255), tuple(range(256))])
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32])
@pytest.mark.parametrize("measure", [F.matting_metrics, F.adobe_metrics, F.mask_metrics])
def test_codes_between_those_of_a_trimap_are_refused_by_argument(codes, dtype, measure):
    trimap = np.resize(np.array(codes, dtype), (16, 17))
    listed = ", ".join(map(str, codes[:5]))
    with pytest.raises(
        InputError, match=rf"^trimap: the values {listed}.*; they must be 0, 1, 2 or 0, 128, 255"
    ) as error:
        measure(np.zeros((16, 17)), np.zeros((16, 17)), trimap)
    assert "write" not in str(error.value)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool, np.float32])
def test_a_mask_may_be_of_whole_numbers(dtype):
    pred, mask = soft_matte(0), soft_matte(1) > 0.5
    assert F.mask_metrics(pred, mask.astype(dtype)) == F.mask_metrics(pred, mask.astype(float))
    assert F.mask_metrics(pred, (0 * mask).astype(dtype)) == F.mask_metrics(pred, 0.0 * mask)
    assert F.intersection_over_union(pred, torch.from_numpy(mask.astype(dtype))) == F.mask_metrics(pred, mask)["iou"]


@pytest.mark.parametrize("mask", [np.full((4, 6), 255, np.uint8), np.full((4, 6), -1)])
def test_codes_instead_of_a_mask_are_refused(mask):
    with pytest.raises(InputError, match=r"target: u?int.* divide 8-bit codes by 255"):
        F.mask_metrics(np.zeros((4, 6)), mask)


def test_a_face_mask_of_another_range_is_refused():
    with pytest.raises(InputError, match="face: values from 300"):
        F.face_metrics(np.zeros((4, 6)), np.zeros((4, 6)), np.full((4, 6), 300))


def test_inputs_stay_as_they_are():
    pred, target = soft_matte(0).astype(np.float32), soft_matte(1)
    before = pred.copy(), target.copy()
    F.matting_metrics(pred, target, cv2.threshold(target, 0.5, 2, cv2.THRESH_BINARY)[1].astype(np.uint8))
    F.adobe_metrics(pred, target)
    np.testing.assert_array_equal(pred, before[0])
    np.testing.assert_array_equal(target, before[1])
