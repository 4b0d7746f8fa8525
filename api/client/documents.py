"""The GraphQL documents that the client sends, but for those about datasets. Fixed texts: the server
parses each one once."""

from typing import Final

from api.client.fragments import FAILURE, FINDING, PAGE, PREVIEWED_RECORD, PROBLEMS

__all__ = [
    "CANCEL_TRAINING",
    "CLEANUP_CHECKPOINTS",
    "EXPORT_MODEL",
    "GET_EXPORT",
    "GET_MODEL",
    "GET_TRAINING_STATUS",
    "LIST_CHECKPOINTS",
    "LIST_MODELS",
    "LIST_MODEL_VERSIONS",
    "LIST_TRAINING_JOBS",
    "LIST_WORKERS",
    "LOGIN",
    "ME",
    "PAUSE_TRAINING",
    "REFRESH_TOKEN",
    "REGISTER_MODEL",
    "RESUME_TRAINING",
    "RUN_PIPELINE",
    "SAVE_CHECKPOINT",
    "TRAINING_EVENTS",
    "VALIDATE_CONFIG",
]

_SESSION = " { accessToken refreshToken expiresAt } "
_MODEL = f"""
  id name source status error {FAILURE}
  architecture parameterCount contextLength licence createdAt
"""
_SAMPLES = " samples { prompt before after } "
_START = " startedFrom { source name } "
_CHECKPOINT = " id name epoch step score validationLoss sizeBytes best requested createdAt "
_VERSION = f"""
  id version status error {FAILURE} job {{ id }} accuracy trainingDate trainingDataSize
  {_SAMPLES} {_START}
  metadata {{
    loss validationAccuracy trainingDurationSeconds epochs bestEpoch sizeBytes adapter
    trainedTokens trainableParameters
  }}
"""
_MEMORY = """
  memory {
    weights gradients optimizer activations logits base peak available fits method
  }
"""
_JOB = f"""
  id model {{ name }} datasetName datasetSha256 datasetVersion
  validationData {{ name sha256 version }} status progress currentEpoch totalEpochs step totalSteps
  trainingLoss trainingAccuracy validationLoss validationAccuracy tokensPerSecond
  estimatedTimeRemaining createdAt startedAt finishedAt attempt queuePosition lastSeq
  hindrance {{ code message remedy }}
  estimate {{ {_MEMORY} seconds }} usage {{ peakMemoryBytes seconds }}
  error {FAILURE} modelVersion {{ id version status }} {_START}
"""
_EXPORT = f"""
  id format adapterOnly weightType mergeBase status progress error {FAILURE} sizeBytes compressionRatio
  dtype bitsPerWeight weights {{ name tensors parameters sizeBytes }} sha256
  files {{ name sizeBytes sha256 downloadUrl }}
  parity {{
    tokensEqual templateEqual klDivergence top1Agreement maxLogitDifference stopTokenRespected
    singleBos positions jobRows firstDifference
  }}
"""

LOGIN: Final = f"""
mutation Login($email: String!, $password: String!) {{
  login(email: $email, password: $password) {_SESSION}
}}
"""
REFRESH_TOKEN: Final = f"""
mutation RefreshToken($refreshToken: String!) {{
  refreshToken(refreshToken: $refreshToken) {_SESSION}
}}
"""
ME: Final = """
query Me { me { id email role } }
"""
LIST_MODELS: Final = f"""
query ListModels($first: Int!, $after: String) {{
  listModels(first: $first, after: $after) {{ edges {{ node {{ {_MODEL} }} }} {PAGE} }}
}}
"""
GET_MODEL: Final = f"""
query GetModel($name: String!) {{ getModel(name: $name) {{ {_MODEL} }} }}
"""
REGISTER_MODEL: Final = f"""
mutation RegisterModel($name: String!, $source: String!) {{
  registerModel(name: $name, source: $source) {{
    __typename ... on Model {{ {_MODEL} }} {PROBLEMS}
  }}
}}
"""
VALIDATE_CONFIG: Final = f"""
query ValidateConfig($input: RunPipelineInput!) {{
  validateConfig(input: $input) {{
    valid errors {FINDING} warnings {FINDING} recommendations {FINDING}
    resolved {{
      trainingType learningRate batchSize epochs warmupSteps maxSteps weightDecay
      gradientAccumulationSteps maxGradientNorm scheduler optimizer loraRank loraAlpha
      loraDropout targetModules rsLora dora loraInitialisation trainableLayers trainEmbeddings
      maxSequenceLength chatTemplate trainOn validationSplit stratify dropLeaksFrom shuffle maxSamples onTooLong
      seed
      earlyStopping {{ enabled patience minDelta }}
      checkpointing {{ enabled interval keepBest }} devices sharding samplePrompts
    }}
    trainingRecords validationRecords steps tokensTrained {_MEMORY} memoryUnknown
    recordsDropped {{ count reasons {{ code count lines validationDataset }} }} recordsDroppedUnknown
    nearLeaksUnknown preview {{ {PREVIEWED_RECORD} }}
    tokenExaminations {{ id status progress }}
    time {{ preparing training validating total factor method }} timeUnknown
  }}
}}
"""
RUN_PIPELINE: Final = f"""
mutation RunPipeline($input: RunPipelineInput!) {{
  runPipeline(input: $input) {{ __typename ... on TrainingJob {{ {_JOB} }} {PROBLEMS} }}
}}
"""
GET_TRAINING_STATUS: Final = f"""
query GetTrainingStatus($jobId: ID!) {{ getTrainingStatus(jobId: $jobId) {{ {_JOB} }} }}
"""
LIST_TRAINING_JOBS: Final = f"""
query ListTrainingJobs($status: JobStatus, $first: Int!, $after: String) {{
  listTrainingJobs(status: $status, first: $first, after: $after) {{
    edges {{ node {{ {_JOB} }} }} {PAGE}
  }}
}}
"""
CANCEL_TRAINING: Final = f"""
mutation CancelTraining($jobId: ID!) {{
  cancelTraining(jobId: $jobId) {{
    __typename ... on TrainingJob {{ {_JOB} }} ... on Problem {{ code message remedy }}
  }}
}}
"""
PAUSE_TRAINING: Final = f"""
mutation PauseTraining($jobId: ID!) {{
  pauseTraining(jobId: $jobId) {{
    __typename ... on TrainingJob {{ {_JOB} }} ... on Problem {{ code message remedy }}
  }}
}}
"""
RESUME_TRAINING: Final = f"""
mutation ResumeTraining($jobId: ID!) {{
  resumeTraining(jobId: $jobId) {{
    __typename ... on TrainingJob {{ {_JOB} }} ... on Problem {{ code message remedy }}
  }}
}}
"""
SAVE_CHECKPOINT: Final = f"""
mutation SaveCheckpoint($jobId: ID!) {{
  saveCheckpoint(jobId: $jobId) {{
    __typename ... on TrainingJob {{ {_JOB} }} ... on Problem {{ code message remedy }}
  }}
}}
"""
LIST_CHECKPOINTS: Final = f"""
query ListCheckpoints($jobId: ID!) {{
  getTrainingStatus(jobId: $jobId) {{ checkpoints {{ {_CHECKPOINT} }} }}
}}
"""
CLEANUP_CHECKPOINTS: Final = f"""
mutation CleanupCheckpoints($jobId: ID!, $keepBest: Int!) {{
  cleanupCheckpoints(jobId: $jobId, keepBest: $keepBest) {{
    __typename
    ... on CleanedCheckpoints {{ deleted freedBytes kept {{ {_CHECKPOINT} }} }}
    {PROBLEMS}
  }}
}}
"""
LIST_MODEL_VERSIONS: Final = f"""
query ListModelVersions(
  $modelName: String!, $status: VersionStatus, $first: Int!, $after: String
) {{
  listModelVersions(modelName: $modelName, status: $status, first: $first, after: $after) {{
    edges {{ node {{ {_VERSION} }} }} {PAGE}
  }}
}}
"""
LIST_WORKERS: Final = f"""
query ListWorkers($first: Int!, $after: String) {{
  listWorkers(first: $first, after: $after) {{
    edges {{ node {{ name devices devicesInUse slots exportFormats startedAt seenAt
      machine {{ device bfloat16 threads availableBytes operationsPerSecond }} }} }} {PAGE}
  }}
}}
"""
EXPORT_MODEL: Final = f"""
mutation ExportModel($input: ExportModelInput!) {{
  exportModel(input: $input) {{ __typename ... on Export {{ {_EXPORT} }} {PROBLEMS} }}
}}
"""
GET_EXPORT: Final = f"""
query GetExport($id: ID!) {{ getExport(id: $id) {{ {_EXPORT} }} }}
"""
TRAINING_EVENTS: Final = f"""
subscription TrainingEvents($jobId: ID!, $afterSeq: Int!) {{
  trainingEvents(jobId: $jobId, afterSeq: $afterSeq) {{
    __typename seq at attempt
    ... on StatusChanged {{ from to reason }}
    ... on DataProgress {{ records progress }}
    ... on DataPrepared {{
      datasetRecords sampledRecords trainingRecords validationRecords droppedRecords
      truncatedRecords leakedRecords stratifiedBy tokens trainedTokens totalSteps tokensReused
    }}
    ... on StartedFrom {{ source name }}
    ... on EngineChosen {{ path reason precision device lanes tokenBudget }}
    ... on Resumed {{ checkpointName epoch step }}
    ... on MemoryEstimated {{ {_MEMORY} }}
    ... on TimeEstimated {{ seconds }}
    ... on ResourcesUsed {{ usage {{ peakMemoryBytes seconds }} }}
    ... on ProgressReported {{
      progress epoch totalEpochs step totalSteps loss accuracy learningRate gradientNorm
      tokensPerSecond estimatedTimeRemaining
    }}
    ... on EpochCompleted {{
      metrics {{
        epoch trainingLoss trainingAccuracy validationLoss validationAccuracy durationSeconds
      }}
    }}
    ... on CheckpointSaved {{ name epoch step validationLoss sizeBytes best requested }}
    ... on WarningRaised {{ code message remedy }}
    ... on StoppedEarly {{ epoch bestEpoch }}
    ... on SamplesGenerated {{ stage samples {{ prompt answer }} }}
    ... on JobFinished {{
      status error {FAILURE} modelVersion {{ id version status }}
    }}
  }}
}}
"""
