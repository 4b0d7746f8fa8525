"""The closed sets of the floors below, as GraphQL enums with every value described."""

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar

import strawberry
from strawberry.types.enum import StrawberryEnumDefinition

from jobs.access import Role
from jobs.status import ActivationKind, JobStatus, TaskStatus, UploadStatus, VersionStatus
from training.config import (
    DataType,
    LoraInitialisation,
    OnTooLong,
    Optimizer,
    Scheduler,
    Sharding,
    Side,
    StartKind,
    TrainingType,
    TrainOn,
)
from training.estimates import EstimateMethod
from training.events import ComputePath
from training.serving.spec import Ending, Speaker
from training.templates.named import NamedTemplate as ChatTemplate
from training.timing.estimate import TimeMethod
from training.validation import Severity

__all__ = [
    "ActivationKind",
    "ChatTemplate",
    "ComputePath",
    "DataType",
    "Ending",
    "EstimateMethod",
    "JobStatus",
    "LoraInitialisation",
    "OnTooLong",
    "Optimizer",
    "Role",
    "Scheduler",
    "Severity",
    "Sharding",
    "Side",
    "Speaker",
    "StartKind",
    "TaskStatus",
    "TimeMethod",
    "TrainOn",
    "TrainingType",
    "UploadStatus",
    "VersionStatus",
    "describe",
]

EnumT = TypeVar("EnumT", bound=type[Enum])


def describe(
    kind: EnumT, description: str, values: Mapping[str, str], *, name: str | None = None
) -> EnumT:
    """Make an enum known to GraphQL; `values` describes each member by its name, and `name` is what
    it is called there, where its own name would say too little.

    Raises `KeyError` at import where a member has no description.
    """
    strawberry.enum(kind, name=name, description=description)
    definition: StrawberryEnumDefinition = kind.__strawberry_definition__  # type: ignore[attr-defined]  # set by strawberry.enum
    for value in definition.values:
        value.description = values[value.name]
    return kind


describe(
    Role,
    "What an account may do; each role may also do what those before it may.",
    {
        "VIEWER": "Reads its own things and the registered models.",
        "TRAINER": "Also creates datasets, registers models, trains and exports.",
        "ADMIN": "Also sees and changes what others own, and manages accounts.",
    },
)
describe(
    ComputePath,
    "The ways of computing a model, fastest first.",
    {
        "FUSED": "Layers written out in both directions, rows packed without padding.",
        "PACKED": "The model's own layers, rows packed without padding.",
        "PADDED": "The model's own layers, rows padded to one length.",
    },
)
describe(
    DataType,
    "The shape of a dataset's records.",
    {
        "TEXT": 'Plain text: {"text"}. Every token is trained.',
        "CODE": 'Source code: {"code", "language"?}. Every token is trained.',
        "QA": 'A question and its answer: {"question", "answer", "system"?}. Answers are trained.',
        "COMPLETION": 'A prompt to go on from: {"prompt", "completion"}. Completions are trained.',
        "CHAT": 'A conversation: {"messages": [{"role", "content", "tool_calls"?, "weight"?}], "tools"?}. '
        "Assistant turns are trained, but for those of weight 0.",
    },
)
describe(
    TrainingType,
    "Which parameters are trained.",
    {
        "LORA": "Small adapters beside the frozen base.",
        "QLORA": "Adapters beside a base whose linear layers are held in 4 bits.",
        "FULL": "Every parameter of the model.",
        "FREEZE": "The last layers of the model; the others stay as they are.",
    },
)
describe(
    TrainOn,
    "Which part of a record is trained. Texts and source files are trained whole in any case.",
    {
        "ASSISTANT": "Every assistant turn with the token that ends it; of a completion, the completion.",
        "LAST_ASSISTANT": "The last assistant turn of each conversation.",
        "ALL": "Prompts too: every token but the first, which nothing predicts.",
    },
)
describe(
    ChatTemplate,
    "A chat template that can be chosen by name.",
    {
        "CHATML": "Turns between <|im_start|> and <|im_end|>; takes tools.",
        "LLAMA_3": "Turns under headers, each ended by <|eot_id|>; takes tools.",
        "GEMMA": "Turns between <start_of_turn> and <end_of_turn>.",
        "MISTRAL": "Questions between [INST] and [/INST], answers ended by the model's end token.",
        "ZEPHYR": "Turns under <|user|> and <|assistant|>, each ended by the model's end token.",
        "ALPACA": "Plain headings, answers ended by the model's end token.",
    },
)
describe(
    Side,
    "What a record is for.",
    {"TRAINING": "To be trained on.", "VALIDATION": "To test with."},
)
describe(
    Scheduler,
    "How the learning rate moves after warm-up.",
    {
        "COSINE": "Falls along half a cosine.",
        "LINEAR": "Falls along a line.",
        "CONSTANT": "Stays as it is.",
    },
)
describe(
    Sharding,
    "How several devices hold a model.",
    {
        "NONE": "Each holds it whole.",
        "FULL": "Each holds a part of every tensor: less memory, more traffic.",
    },
)
describe(
    Optimizer,
    "What moves the weights: AdamW, its two moments held in one way or another.",
    {
        "ADAMW": "Moments in 32 bits.",
        "ADAMW_8BIT": "Moments in 8 bits, by bitsandbytes: a quarter of the memory.",
        "PAGED_ADAMW": "Moments in 32 bits that move to main memory when the GPU's is full.",
        "PAGED_ADAMW_8BIT": "Moments in 8 bits that move to main memory when the GPU's is full.",
    },
)
describe(
    OnTooLong,
    "What becomes of examples that have more tokens than `maxSequenceLength`.",
    {
        "ERROR": "The run ends before it trains, and names their lines.",
        "DROP": "They are left out; a warning counts them and names their lines.",
        "TRUNCATE": "They are cut at their end; a warning counts them and names their lines.",
    },
)
describe(
    LoraInitialisation,
    "How the first matrix of each adapter is drawn; the second starts at zero.",
    {
        "KAIMING": "Uniformly, within bounds that depend on the layer's width.",
        "GAUSSIAN": "Normally, with a deviation of one over the rank.",
    },
)
describe(
    StartKind,
    "What trained weights are taken from.",
    {
        "VERSION": "A model version.",
        "CHECKPOINT": "A checkpoint of a job.",
    },
)
describe(
    JobStatus,
    "Where a training job stands.",
    {
        "QUEUED": "Waits for a worker.",
        "PREPARING": "Data is validated, split and tokenised; the model is loaded.",
        "TRAINING": "Epochs run.",
        "VALIDATING": "The best checkpoint is tested and saved.",
        "PAUSING": "Was asked to pause; saves a checkpoint first.",
        "PAUSED": "Holds no worker; goes on from its newest checkpoint when it is resumed.",
        "CANCELLING": "Was asked to stop; saves a checkpoint first.",
        "COMPLETED": "Ended with a model version.",
        "FAILED": "Ended with an error.",
        "CANCELLED": "Was stopped.",
    },
)
describe(
    TaskStatus,
    "Where an export, the making or examination of a dataset, or the check of a newly registered model, "
    "stands.",
    {
        "QUEUED": "Waits for a worker.",
        "RUNNING": "A worker is at it.",
        "READY": "Done, and found to be right.",
        "FAILED": "Ended with an error.",
    },
)
describe(
    UploadStatus,
    "Whether a file that is sent in parts is whole.",
    {
        "RECEIVING": "Some of it is missing.",
        "READY": "It is whole, and has the sha256 that was announced.",
    },
)
describe(
    VersionStatus,
    "Where a model version stands.",
    {
        "TRAINING": "Is being made: its job goes on, or rests.",
        "READY": "Is trained, and not in production.",
        "ACTIVE": "Is the one in production; a model has at most one.",
        "DEPRECATED": "Was in production before.",
        "FAILED": "Was not made: its job has FAILED or was CANCELLED.",
    },
)
describe(
    ActivationKind,
    "How a version came into production.",
    {
        "ACTIVATION": "It was chosen.",
        "ROLLBACK": "It was there before, and was returned to.",
    },
)
describe(
    Speaker,
    "Whose turn a message is.",
    {
        "SYSTEM": "What the model is told to be.",
        "USER": "Who asks.",
        "ASSISTANT": "What the model has answered.",
    },
)
describe(
    Ending,
    "Why an answer ended.",
    {
        "STOP": "The model ended its turn, or came to a stop text.",
        "LENGTH": "It had as many tokens as it may have.",
    },
    name="AnswerEndingReason",
)
describe(
    Severity,
    "How much a finding matters.",
    {
        "ERROR": "This cannot run.",
        "WARNING": "This can run, and is unusual.",
        "RECOMMENDATION": "This may do better.",
    },
)
describe(
    EstimateMethod,
    "How the memory that depends on the data was estimated.",
    {
        "DRY_RUN": "By a dry run of the heaviest micro-batch, in which no memory is taken.",
        "MEASURED": "By two short rows run for real, because this model cannot be run dry.",
        "CLOSED_FORM": "From the model's shape and the data's sizes, before anything is loaded.",
    },
)
describe(
    TimeMethod,
    "What the pace of a run that has not started was told from.",
    {
        "EARLIER_RUN": "From your newest run of the model by the same method on that machine.",
        "MACHINE_RATE": "From the rate at which the machine multiplies matrices.",
    },
)
