"""Every way a run on several devices can fail because there are several."""

from training.errors import OutOfMemory, TrainingError


class DevicesMissing(TrainingError):
    """A job asks for more devices than the machine it came to has."""

    def __init__(self, wanted: int, present: int) -> None:
        super().__init__(
            "DEVICES_MISSING",
            f"The job asks for at least {wanted} devices, and this machine has {present}.",
            "Ask for fewer devices, or set TUNERY_WORKER_DEVICES to what the worker has.",
        )


class ProcessesDisagree(TrainingError):
    """The processes that train together were not given, or did not make, the same."""

    def __init__(self, what: str) -> None:
        super().__init__(
            "PROCESSES_DISAGREE",
            f"The processes that train together do not have the same {what}.",
            "Run them with the same versions of all libraries, on the same files.",
        )


class PassAbandoned(TrainingError):
    """Memory ran out amid a pass that all processes make together, so that none can end it.

    All of them may be started again with at most `tokens` held at once.
    """

    def __init__(self, tokens: int, shortage: OutOfMemory) -> None:
        super().__init__(shortage.code, shortage.message, shortage.remedy)
        self.tokens = tokens


class PrecisionNotSharded(TrainingError):
    """A weight is trained that the architecture computes with in fp32, in a module with others."""

    def __init__(self, parameter: str) -> None:
        super().__init__(
            "PRECISION_NOT_SHARDED",
            f"The model computes with {parameter} in fp32 and with what lies beside it in bf16; where "
            "it is split among devices, both cannot be trained.",
            "Use LORA, or sharding NONE.",
        )
