import multiprocessing
import resource
import sys

import numpy as np
import pytest

from p3m_lightning.data.loading.allocator import keep_freed_memory


def page_faults(keep, answers):
    if keep:
        keep_freed_memory()
    np.ones(4 << 20)  # 32 MB: the block that is kept
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        np.ones(4 << 20)
    answers.put(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_a_block_freed_is_used_again_without_new_pages():
    context = multiprocessing.get_context("spawn")  # the settings of a fork are those of the tests before
    faults = []
    for keep in (False, True):
        answers = context.Queue()
        process = context.Process(target=page_faults, args=(keep, answers))
        process.start()
        faults.append(answers.get())
        process.join()
    if not faults[0]:
        pytest.skip("this C library keeps freed memory by itself")
    assert faults[1] < faults[0] / 4
