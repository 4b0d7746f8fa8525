"""Whether a config can run, is wise, or could do better: all findings at once, with their cures."""

from collections.abc import Collection, Iterator
from typing import Final

from training.advice.adapters import unknown_targets
from training.advice.case import Case, RunFacts
from training.advice.holding_out import fitting_split
from training.advice.rules import RULES
from training.config import TrainingConfig, TrainingType
from training.devices.placement import placement_findings
from training.findings import (
    Finding,
    Severity,
    apply,
    changes,
    combined_patch,
    error,
    in_order,
    merge,
    patch_for,
)
from training.held_out import held_out_advice, held_out_errors
from training.limits import beyond_limits
from training.memory.advice import Estimator, memory_finding
from training.methods.checks import method_errors, quantisation_saves_little
from training.templates.checks import has_template, template_findings

__all__ = ["MAX_SAMPLE_PROMPTS", "Finding", "RunFacts", "Severity", "check"]

MAX_SAMPLE_PROMPTS: Final = 16


def check(
    config: TrainingConfig, facts: RunFacts, estimate: Estimator | None = None
) -> list[Finding]:
    """Every finding, errors first. With all suggested patches applied no error is left but those
    that lie in the data or the model and carry no patch; with those of a second or third check
    applied as well, no finding that carries one. `estimate` tells the memory of a config.

    What depends on several options is judged on the config as the limits' patches leave it, and
    advice on that which the patches of all errors leave, so that one bad value neither hides a
    second finding nor invents one.
    """
    findings = list(
        beyond_limits(config, context_length=facts.context_length, layer_count=facts.layer_count)
    )
    findings += template_findings(
        config, facts.data_type, own=facts.has_chat_template, supported=facts.chat_templates
    )
    repaired = apply(config, combined_patch(findings))
    findings += held_out_errors(repaired, facts.held_out, facts.data_type)
    repaired = apply(config, combined_patch(findings))
    case = Case(repaired, facts, estimate)
    findings += [*_data(facts), *_sample_prompts(repaired, facts), *_relations(case)]
    findings += [*method_errors(repaired, facts.layer_count), *placement_findings(repaired)]
    findings += unknown_targets(case)
    errors = [each for each in findings if each.severity is Severity.ERROR]
    case = Case(apply(config, combined_patch(errors)), facts, estimate)
    findings += [finding for rule in RULES for finding in rule(case)]
    findings += held_out_advice(case.config, facts.held_out, facts.data_type, records=facts.records)
    findings = [each for each in findings if not _is_held(each, facts.held)]
    if not any(each.severity is Severity.ERROR for each in findings):
        findings += _memory(case)
    return _with_fitting_warmup(in_order(findings), config, facts)


def _is_held(finding: Finding, held: Collection[str]) -> bool:
    """Whether it would change what is not to be chosen."""
    return any(changes(finding.suggested_patch or {}, field) for field in held)


def _memory(case: Case) -> Iterator[Finding]:
    if case.estimate is None:
        return
    facts = case.facts
    methods = [] if "training_type" in facts.held else [TrainingType.LORA]
    little = quantisation_saves_little(facts.parameter_count, facts.linear_parameters)
    if methods and not little:
        methods.append(TrainingType.QLORA)
    finding = memory_finding(case.config, case.estimate, methods=methods)
    if finding is not None:
        yield finding


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


def _relations(case: Case) -> Iterator[Finding]:
    """What options say of one another and of the number of records."""
    config, samples = case.config, case.samples
    if config.early_stopping.enabled and not case.held_out:
        yield error(
            "NO_VALIDATION_RECORDS",
            f"Early stopping needs validation records, and of {samples} records "
            f"validationSplit {config.validation_split} leaves none.",
            remedy="Raise validationSplit, or turn early stopping off.",
            changes={"validation_split": fitting_split(samples)}
            if samples > 1
            else {"early_stopping.enabled": False},
        )
    steps = case.steps
    if case.rows and config.warmup_steps >= steps:
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


def _with_fitting_warmup(
    findings: list[Finding], config: TrainingConfig, facts: RunFacts
) -> list[Finding]:
    """The findings, the last patch shortening the warm-up where all patches together leave fewer
    steps than it takes."""
    result = apply(config, combined_patch(findings))
    steps = Case(result, facts).steps
    if steps < 1 or result.warmup_steps < steps:
        return findings
    last = max(index for index, each in enumerate(findings) if each.suggested_patch)
    patch = merge(findings[last].suggested_patch or {}, patch_for({"warmup_steps": steps // 10}))
    fitting = findings[last].model_copy(update={"suggested_patch": patch})
    return [*findings[:last], fitting, *findings[last + 1 :]]
