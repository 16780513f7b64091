"""Images for the nets of these tests."""

import numpy as np
import pytest


@pytest.fixture
def photos():
    return np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)
