"""That following advice ends: nothing suggests what something else then advises against."""

from hypothesis import HealthCheck, given, settings

from tests.training.advice.configs import configs, situations
from training.config import TrainingConfig
from training.findings import Severity, apply, combined_patch
from training.memory.advice import Estimator
from training.validation import RunFacts, check

ROUNDS = 5


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(config=configs, situation=situations())
def test_following_all_advice_ends_within_a_few_rounds(
    config: TrainingConfig, situation: tuple[RunFacts, Estimator]
) -> None:
    facts, estimate = situation
    for _ in range(ROUNDS):
        patch = combined_patch(check(config, facts, estimate))
        if not patch:
            return
        config = apply(config, patch)
    last = [each for each in check(config, facts, estimate) if each.suggested_patch]
    assert last == []


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(config=configs, situation=situations())
def test_all_patches_together_leave_no_error_that_has_a_patch(
    config: TrainingConfig, situation: tuple[RunFacts, Estimator]
) -> None:
    facts, estimate = situation
    patched = apply(config, combined_patch(check(config, facts, estimate)))
    errors = [
        each
        for each in check(patched, facts, estimate)
        if each.severity is Severity.ERROR and each.suggested_patch
    ]
    assert errors == []
