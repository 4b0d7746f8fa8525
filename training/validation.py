"""Whether a config can run, is wise, or could do better: all findings at once, with their cures."""

from collections.abc import Iterator
from typing import Final

from training.config import DataType, Frozen, TrainingConfig
from training.devices.placement import placement_findings
from training.findings import (
    PATHS,
    Finding,
    Severity,
    apply,
    combined_patch,
    error,
    merge,
    patch_for,
)
from training.held_out import HeldOut, held_out_advice, held_out_errors
from training.limits import beyond_limits, beyond_usual
from training.methods.checks import method_advice, method_errors
from training.steps.schedule import total_steps, validation_rows
from training.templates.checks import has_template, template_findings
from training.templates.named import NamedTemplate

__all__ = ["MAX_SAMPLE_PROMPTS", "Finding", "RunFacts", "Severity", "check"]

MAX_SAMPLE_PROMPTS: Final = 16


class RunFacts(Frozen):
    """What the checks must know of the data and the model. Counts are of validated records."""

    records: int
    data_type: DataType
    parameter_count: int | None = None
    layer_count: int | None = None
    """Decoder layers."""
    linear_parameters: int | None = None
    """Those parameters that 4 bits make smaller."""
    context_length: int | None = None
    """The longest input the model takes, in tokens."""
    has_chat_template: bool = True
    held_out: HeldOut | None = None
    """A dataset to test with, where one is named."""
    chat_templates: tuple[NamedTemplate, ...] | None = None
    """The named templates whose end of a turn is one token of the model; None if not noted."""


def check(config: TrainingConfig, facts: RunFacts) -> list[Finding]:
    """Every finding, errors first. With all suggested patches applied no error is left but those
    that lie in the data or the model and carry no patch.

    What depends on several options is judged on the config as the limits' patches leave it, so
    that one bad value neither hides a second finding nor invents one.
    """
    findings = list(
        beyond_limits(config, context_length=facts.context_length, layer_count=facts.layer_count)
    )
    findings += template_findings(
        config, facts.data_type, own=facts.has_chat_template, supported=facts.chat_templates
    )
    repaired = apply(config, combined_patch(findings))
    findings += [*held_out_errors(repaired, facts.held_out, facts.data_type)]
    repaired = apply(config, combined_patch(findings))
    findings += [*_data(facts), *_sample_prompts(repaired, facts), *_relations(repaired, facts)]
    findings += [*method_errors(repaired, facts.layer_count), *placement_findings(repaired)]
    findings += [*beyond_usual(repaired, _training_rows(repaired, facts))]
    findings += [*_advice(repaired, facts)]
    findings += [*held_out_advice(repaired, facts.held_out, facts.data_type)]
    findings = _with_fitting_warmup(findings, config, facts)
    order = list(Severity)
    return sorted(findings, key=lambda finding: order.index(finding.severity))


def _data(facts: RunFacts) -> Iterator[Finding]:
    if facts.records < 1:
        yield Finding(
            severity=Severity.ERROR,
            code="NO_RECORDS",
            path=("datasetId",),
            message="The dataset has 0 valid records.",
            remedy="Add records, or choose another dataset.",
        )


def _sample_prompts(config: TrainingConfig, facts: RunFacts) -> Iterator[Finding]:
    prompts = config.sample_prompts
    fitting = [each for each in prompts if each.strip()][:MAX_SAMPLE_PROMPTS]
    problems = []
    if prompts and not has_template(config, facts.has_chat_template):
        problems.append(
            ("NO_CHAT_TEMPLATE", "need a model with a chat template, and this has none")
        )
        fitting = []
    if len(prompts) > MAX_SAMPLE_PROMPTS:
        problems.append(
            ("OUT_OF_RANGE", f"are {len(prompts)}, but may be at most {MAX_SAMPLE_PROMPTS}")
        )
    if any(not each.strip() for each in prompts):
        problems.append(("BLANK_PROMPT", "include a blank one"))
    for code, problem in problems:
        yield error(
            code,
            f"samplePrompts {problem}.",
            remedy="Leave out the prompts that cannot be answered.",
            changes={"sample_prompts": fitting},
        )


def _relations(config: TrainingConfig, facts: RunFacts) -> Iterator[Finding]:
    """What options say of one another and of the number of records."""
    samples = _samples(config, facts)
    if config.early_stopping.enabled and not _tested_rows(config, facts):
        yield error(
            "NO_VALIDATION_RECORDS",
            f"Early stopping needs validation records, and of {samples} records "
            f"validationSplit {config.validation_split} leaves none.",
            remedy="Raise validationSplit, or turn early stopping off.",
            changes={"validation_split": 0.1} if samples > 1 else {"early_stopping.enabled": False},
        )
    rows = _training_rows(config, facts)
    steps = total_steps(rows, config)
    if rows and config.warmup_steps >= steps:
        yield error(
            "WARMUP_TOO_LONG",
            f"warmupSteps is {config.warmup_steps}, but the run has only {steps} steps.",
            remedy="Warm up for about a tenth of the steps.",
            changes={"warmup_steps": steps // 10},
        )
    modules = config.target_modules
    if modules is not None and not (modules and all(each.strip() for each in modules)):
        yield error(
            "BLANK_TARGET_MODULE",
            "targetModules is empty or names a blank module.",
            remedy="Leave targetModules out to adapt every linear layer.",
            changes={"target_modules": None},
        )


def _advice(config: TrainingConfig, facts: RunFacts) -> Iterator[Finding]:
    rows = _training_rows(config, facts)
    if rows and config.batch_size > rows:
        size = 1 << (min(rows, 32).bit_length() - 1)
        yield Finding(
            severity=Severity.WARNING,
            code="BATCH_LARGER_THAN_DATA",
            path=PATHS["batch_size"],
            message=f"batchSize is {config.batch_size}, but there are {rows} training records.",
            remedy="Use smaller batches, so that an epoch has more than one step.",
            suggested_patch=patch_for({"batch_size": size}),
        )
    yield from method_advice(
        config, parameters=facts.parameter_count, linear_parameters=facts.linear_parameters
    )

    samples = _samples(config, facts)
    if samples > 1 and not _tested_rows(config, facts):
        yield Finding(
            severity=Severity.RECOMMENDATION,
            code="NO_VALIDATION",
            path=PATHS["validation_split"],
            message="No records are held out, so overfitting will not be seen.",
            remedy="Hold out a tenth of the records.",
            suggested_patch=patch_for({"validation_split": 0.1}),
        )


def _with_fitting_warmup(
    findings: list[Finding], config: TrainingConfig, facts: RunFacts
) -> list[Finding]:
    """The findings, the last patch shortening the warm-up where all patches together leave fewer
    steps than it takes."""
    result = apply(config, combined_patch(findings))
    steps = total_steps(_training_rows(result, facts), result)
    if steps < 1 or result.warmup_steps < steps:
        return findings
    last = max(index for index, each in enumerate(findings) if each.suggested_patch)
    patch = merge(findings[last].suggested_patch or {}, patch_for({"warmup_steps": steps // 10}))
    fitting = findings[last].model_copy(update={"suggested_patch": patch})
    return [*findings[:last], fitting, *findings[last + 1 :]]


def _samples(config: TrainingConfig, facts: RunFacts) -> int:
    return min(facts.records, config.max_samples or facts.records)


def _tested_rows(config: TrainingConfig, facts: RunFacts) -> int:
    if facts.held_out is not None:
        return facts.held_out.records
    return validation_rows(_samples(config, facts), config.validation_split)


def _training_rows(config: TrainingConfig, facts: RunFacts) -> int:
    samples = _samples(config, facts)
    return samples - validation_rows(samples, config.validation_split)
