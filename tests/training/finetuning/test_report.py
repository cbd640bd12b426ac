from p3m_lightning.training.finetuning.forgetting import comparison, shares
from p3m_lightning.training.finetuning.report import forgetting_page


def page_of(*holdout):
    sets = {
        "holdout_new": comparison("new", {"sad": 10.0}, {"sad": holdout[0]}),
        "holdout_old": comparison("old", {"sad": 4.0}, {"sad": holdout[1]}),
        "old": comparison("old", {"sad": 4.0, "gradient": 2.0}, {"sad": 5.0, "gradient": 1.0})
        | shares({"a": 4.0, "b": 4.0, "c": 1.0}, {"a": 6.0, "b": 3.0, "c": 1.0}),
    }
    course = [{"step": step, "sets": {name: one["before"] for name, one in sets.items()}} for step in (0, 40)]
    return forgetting_page({"chosen_step": 40, "sets": sets, "course": course})


def test_gains_and_losses_are_reported_with_numbers():
    page = page_of(8.0, 4.02)
    assert "- Better on holdout_new (new images): SAD 10 before, 8 after (-20%)." in page
    assert "- Unchanged on holdout_old" in page
    assert "**Worse** on old (old images): SAD 4 before, 5 after (+25%; better on 1 of 3 images, worse on 1)." in page
    assert "| old | old | gradient | 2 | 1 | -50.0% |" in page


def test_without_a_gain_on_held_out_images_the_report_recommends_the_start():
    assert "Nothing was gained" not in page_of(8.0, 4.02)
    assert "the network before fine-tuning is better" in page_of(10.5, 4.02)
