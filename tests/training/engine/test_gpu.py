"""The engine on a CUDA device computes what it computes on a CPU."""

import pytest
import torch

from tests.training.engine.models import CONFIGS, difference, make_model, make_rows, taken
from training.engine.choice import choose
from training.engine.gradients import Gradients
from training.engine.packs import make_pack

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


@pytest.mark.parametrize("name", CONFIGS)
def test_loss_and_gradients_are_those_of_the_cpu(name: str) -> None:
    rows, found = make_rows(40, 23, 61, 9), []
    for device in ("cpu", "cuda"):
        model = make_model(name).to(device)
        choice = choose(model, rows, torch.device(device))
        gradients = Gradients()
        pack = make_pack(rows, device)
        sums = choice.computes.backward(pack, share=0.01, seed=1, gradients=gradients)
        found.append((choice.path, sums.loss, taken(model, gradients).cpu()))
    (path, loss, gradient), (gpu_path, gpu_loss, gpu_gradient) = found
    assert gpu_path is path
    assert gpu_loss == pytest.approx(loss, rel=1e-5)
    assert difference(gpu_gradient, gradient) <= 1e-4
