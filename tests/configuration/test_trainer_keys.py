"""Values of the group trainer that are refused before Lightning sees them."""

import pytest

from p3m_lightning.configuration.trainer_keys import verify_trainer
from p3m_lightning.schema import InputError


@pytest.mark.parametrize("duration", [5, -1, 1.5, True, ["00:01:00:00"]])
def test_a_duration_that_is_no_text_is_refused(duration):
    with pytest.raises(InputError, match=r"^trainer\.max_time=.*: give days, hours, minutes, seconds"):
        verify_trainer({"max_time": duration})


@pytest.mark.parametrize("duration", [None, "00:12:00:00", {"hours": 12}])
def test_a_duration_that_lightning_takes_stays(duration):
    verify_trainer({"max_time": duration})
