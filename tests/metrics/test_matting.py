import pickle

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import distributed

from p3m_lightning.metrics import MattingMetrics
from p3m_lightning.metrics import functional as F
from p3m_lightning.metrics.baselines import TrivialPredictors
from p3m_lightning.metrics.definitions import ADOBE, FACE, P3M
from p3m_lightning.schema import InputError


@pytest.fixture(scope="module")
def batch():
    """Seven small mattes as tensors: pred, target, trimap, names, face; the last two images show no face."""
    random = np.random.default_rng(0)
    mattes = np.clip(ndimage.gaussian_filter(random.normal(size=(2, 7, 1, 24, 32)), (0, 0, 0, 3, 3)) * 9 + 0.4, 0, 1)
    pred, target = torch.from_numpy(mattes.astype(np.float32))
    trimap = torch.where(target <= 0, 0, torch.where(target >= 1, 2, 1))
    face = torch.zeros_like(target)
    face[:5, :, 4:12, 6:20] = 1
    return pred, target, trimap, [f"portrait_{i}" for i in range(7)], face


def part(batch, chosen):
    return [values[chosen] for values in batch]


def expected_rows(batch):
    pred, target, trimap, names, face = batch
    rows = []
    for i, name in enumerate(names):
        values = F.matting_metrics(pred[i], target[i], trimap[i]) | F.face_metrics(pred[i], target[i], face[i])
        rows.append({"name": name, **values})
    return rows


def test_means_and_medians_are_over_images(batch):
    metrics = MattingMetrics()
    metrics.update(*batch)
    rows = expected_rows(batch)
    assert metrics.rows() == rows
    for key in (*P3M, *FACE):
        column = [row[key] for row in rows if key in row]
        assert len(column) == (5 if key in FACE else 7)
        assert metrics.compute()[key] == pytest.approx(np.mean(column), rel=1e-12)
        assert metrics.median()[key] == pytest.approx(np.median(column), rel=1e-12)


def test_any_split_into_batches_gives_the_same_means(batch):
    whole, pieces = MattingMetrics(), MattingMetrics()
    whole.update(*batch)
    for chosen in (slice(0, 1), slice(1, 5), slice(5, 7)):
        pieces.update(*part(batch, chosen))
    assert pieces.compute() == pytest.approx(whole.compute(), rel=1e-12)
    assert pieces.rows() == whole.rows()


def test_states_of_uneven_processes_add_up_to_the_single_one(batch):
    whole, ranks = MattingMetrics(), [MattingMetrics(), MattingMetrics(), MattingMetrics()]
    whole.update(*batch)
    ranks[0].update(*part(batch, slice(0, 5)))
    ranks[1].update(*part(batch, slice(5, 7)))  # the third process has no image at all
    assert ranks[0].compute() != pytest.approx(whole.compute())  # and torchmetrics keeps this
    ranks[0].merge_state(ranks[1])
    ranks[0].merge_state(ranks[2].metric_state)
    assert ranks[0].compute() == pytest.approx(whole.compute(), rel=1e-12)
    assert ranks[0].rows() == whole.rows()
    assert ranks[0].median() == whole.median()


def test_a_state_without_its_rows_or_of_another_convention_is_not_merged(batch):
    metrics = MattingMetrics()
    metrics.update(*batch)
    sums = {"sums": metrics.sums, "counts": metrics.counts}
    for other in (MattingMetrics("adobe"), MattingMetrics("mask"), TrivialPredictors(), sums, None):
        with pytest.raises(InputError, match=r"incoming_state: .* give the metric to merge"):
            metrics.merge_state(other)
    assert len(metrics.rows()) == metrics.counts[0] == 7


def test_a_persistent_metric_is_saved_and_loaded_with_its_rows(batch, tmp_path):
    whole = MattingMetrics()
    saved, loaded = (torch.nn.ModuleList([MattingMetrics()]) for _ in range(2))
    assert not saved.state_dict()
    whole.update(*batch)
    saved[0].update(*part(batch, slice(0, 5)))
    saved[0].persistent(True)
    torch.save(saved.state_dict(), tmp_path / "state.pt")
    loaded[0].update(*part(batch, slice(0, 1)))
    loaded[0].compute()
    loaded.load_state_dict(torch.load(tmp_path / "state.pt"))
    assert loaded[0].compute() == saved[0].compute()
    assert loaded[0].median() == saved[0].median()
    loaded[0].update(*part(batch, slice(5, 7)))
    assert loaded[0].median() == whole.median()
    assert len(saved[0].rows()) == 5
    old = {key: value for key, value in saved.state_dict().items() if not key.endswith("rows")}
    with pytest.raises(InputError, match=r"state_dict: has 0\.sums without 0\.local_rows"):
        loaded.load_state_dict(old)


def test_rows_of_processes_are_gathered_by_name(batch, tmp_path, monkeypatch):
    ranks = [MattingMetrics(), MattingMetrics()]
    for rank, metrics in enumerate(ranks):
        metrics.update(*part(batch, slice(rank, None, 2)))

    def gather(parts, own):
        assert own is ranks[1].local_rows
        parts[:] = [metrics.local_rows for metrics in ranks]

    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        assert ranks[0].rows() == ranks[0].local_rows  # alone in a real process group
        monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
        monkeypatch.setattr(distributed, "all_gather_object", gather)
        assert ranks[1].rows() == expected_rows(batch)
    finally:
        distributed.destroy_process_group()


def test_without_trimaps_the_region_metrics_are_left_out(batch):
    pred, target, _, names, _ = batch
    metrics = MattingMetrics()
    metrics.update(pred, target, None, names)
    assert list(metrics.compute()) == ["sad", "mse", "mad", "gradient", "connectivity"]
    assert list(metrics.rows()[0]) == ["name", *metrics.compute()]


def test_images_with_and_without_trimap_are_counted_apart(batch):
    metrics = MattingMetrics()
    metrics.update(*part(batch[:4], slice(0, 3)))
    pred, target, _, names = part(batch[:4], slice(3, 7))
    metrics.update(pred, target, None, names)
    rows = expected_rows(batch)
    assert metrics.compute()["sad"] == pytest.approx(np.mean([row["sad"] for row in rows]))
    assert metrics.compute()["sad_unknown"] == pytest.approx(np.mean([row["sad_unknown"] for row in rows[:3]]))


def test_the_adobe_convention_is_a_choice(batch):
    pred, target, trimap, names, _ = batch
    metrics = MattingMetrics("adobe")
    metrics.update(pred, target, trimap, names)
    assert list(metrics.compute()) == list(ADOBE)
    expected = np.mean([F.adobe_metrics(*pair)["gradient_unknown"] for pair in zip(pred, target, trimap, strict=True)])
    assert metrics.compute()["gradient_unknown"] == pytest.approx(expected, rel=1e-12)


def test_calling_it_returns_the_batch_and_keeps_the_total(batch):
    metrics, only = MattingMetrics(), MattingMetrics()
    metrics(*part(batch, slice(0, 4)))
    returned = metrics(*part(batch, slice(4, 7)))
    only.update(*part(batch, slice(4, 7)))
    assert returned == pytest.approx(only.compute(), rel=1e-12)
    assert [row["name"] for row in metrics.rows()] == batch[3]


def test_reset_forgets_everything(batch):
    metrics = MattingMetrics()
    metrics.update(*batch)
    metrics.reset()
    metrics.update(*part(batch, slice(0, 1)))
    assert metrics.rows() == expected_rows(batch)[:1]
    assert metrics.compute()["sad"] == pytest.approx(expected_rows(batch)[0]["sad"])


def test_sums_stay_double_in_a_module_of_lower_precision(batch):
    holder = torch.nn.ModuleList([MattingMetrics()]).bfloat16()
    holder[0].update(*batch)
    assert holder[0].sums.dtype == holder[0].counts.dtype == torch.float64
    assert holder[0].compute()["sad"] == pytest.approx(np.mean([row["sad"] for row in expected_rows(batch)]), rel=1e-12)


def test_it_travels_to_other_processes(batch):
    metrics = MattingMetrics()
    metrics.update(*batch)
    assert pickle.loads(pickle.dumps(metrics)).compute() == metrics.compute()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_batches_on_the_gpu_score_as_on_the_cpu(batch):
    pred, target, trimap, names, face = batch
    metrics = MattingMetrics().cuda()
    metrics.update(pred.cuda(), target.cuda(), trimap.cuda(), names, face.cuda())
    assert metrics.rows() == expected_rows(batch)
    assert metrics.sums.is_cuda


def test_names_are_numbers_where_there_are_none(batch):
    metrics = MattingMetrics()
    metrics.update(batch[0][:2], batch[1][:2])
    metrics.update(batch[0][2:3], batch[1][2:3])
    for _ in range(3):
        metrics.update(batch[0][3:6], batch[1][3:6])
    assert [row["name"] for row in metrics.rows()] == [str(number) for number in range(12)]


def test_names_of_any_kind_may_follow_one_another(batch):
    metrics = MattingMetrics()
    for names in (np.array([11, 9]), None, iter(["b", "a"]), (name for name in (10, "7"))):
        metrics.update(batch[0][:2], batch[1][:2], names=names)
    assert [row["name"] for row in metrics.rows()] == ["2", "3", "9", "10", "11", "7", "a", "b"]


@pytest.mark.parametrize("spoiled", ["pred", "target", "trimap", "face"])
@pytest.mark.parametrize("call", [MattingMetrics.update, MattingMetrics.forward])
def test_a_refused_batch_leaves_no_image_behind(batch, call, spoiled):
    whole, metrics = MattingMetrics(), MattingMetrics()
    whole.update(*batch)
    named = dict(zip(("pred", "target", "trimap", "names", "face"), batch, strict=True))
    values = named[spoiled].clone()
    values[3, 0, 5, 5] = 500
    with pytest.raises(InputError, match=spoiled):
        call(metrics, **{**named, spoiled: values})
    assert metrics.rows() == []
    assert not metrics.counts.any()
    call(metrics, **named)
    assert metrics.rows() == whole.rows()
    assert metrics.compute() == whole.compute()


def test_what_cannot_choose_between_mattes_is_refused(batch):
    pred, target, trimap, names, _ = batch
    metrics, exact = MattingMetrics(), trimap != 1
    for wrong in (exact.float(), exact.long(), exact.numpy()):
        with pytest.raises(InputError, match=r"exact: .*give a bool tensor"):
            metrics.update(pred, target, trimap, names, exact=wrong)
    for wrong in (exact[..., :1], exact[:, 0]):
        with pytest.raises(InputError, match=r"exact: .* all need one shape"):
            metrics.update(pred, target, trimap, names, exact=wrong)
    with pytest.raises(InputError, match=r"exact: .* all need one shape"):
        metrics.update(pred[..., :1], target, trimap, names, exact=exact)


def test_wrong_batches_are_refused(batch):
    pred, target, trimap, names, _ = batch
    metrics = MattingMetrics()
    with pytest.raises(InputError, match="names: 6 for a batch of 7"):
        metrics.update(pred, target, trimap, names[:6])
    with pytest.raises(InputError, match="target: 6 for a batch of 7"):
        metrics.update(pred, target[:6], trimap, names)
    with pytest.raises(InputError, match="'dim' is not one of p3m, adobe"):
        MattingMetrics("dim")


def test_the_edge_of_a_mask_counts_only_in_the_intersection_over_union(batch):
    pred, target, trimap, names, _ = batch
    mask = (target > 0.5).float()
    exact = trimap != 1
    exact[0] = True  # this label is a matte
    metrics = MattingMetrics()
    metrics.update(pred, mask, trimap, names, exact=exact)
    rows = metrics.rows()
    assert "iou" not in rows[0]
    assert rows[0]["sad"] == pytest.approx(float((pred[0] - mask[0]).abs().sum()) / 1000, rel=1e-5)
    for i in range(1, 7):
        error = (pred[i] - mask[i]).abs()[exact[i]].sum()
        ours, truth = pred[i] > 0.5, mask[i] > 0.5
        assert rows[i]["sad"] == pytest.approx(float(error) / 1000, rel=1e-5)
        assert rows[i]["iou"] == pytest.approx(float((ours & truth).sum() / (ours | truth).sum()))
    assert metrics.compute()["iou"] == pytest.approx(np.mean([row["iou"] for row in rows[1:]]))
