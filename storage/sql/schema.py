"""The tables, as SQLAlchemy sees them.

Narrow fact rows, dimension tables for what repeats. Times are text, ISO 8601 in
UTC with microseconds, so that they read and sort alike in every client; leases are
seconds since 1970. The migrations make these tables; a test compares the two.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    and_,
    false,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

#: The states of a job. No active sweep wants a `pending` job with a NULL priority.
JOB_STATES = ("pending", "leased", "done", "failed", "quarantined", "evicted")
#: Those of jobs that have no image but are not made any more.
FAILED_STATES = ("failed", "quarantined")
#: Those of jobs that have a result. The file of an evicted one was removed.
MADE_STATES = ("done", "evicted")
#: The states of a sweep.
SWEEP_STATES = ("active", "paused", "cancelled", "removed", "archived")
#: Those of sweeps that lists leave out.
HIDDEN_STATES = ("removed", "archived")
#: The states of a score. It is `waiting` until its image and its reference are done.
SCORE_STATES = ("waiting", "pending", "leased", "done", "failed")
#: What somebody decided about an image.
VERDICTS = ("accepted", "rejected")
#: Which of two images somebody preferred.
WINNERS = ("a", "b", "tie")
#: Why a batch has its width: memory ran out above it, or a calibration chose it.
WIDTH_REASONS = ("memory", "calibrated")

#: How often a quota begins anew, in UTC; a week begins on Monday.
QUOTA_PERIODS = ("day", "week", "month")
#: The row of `owners` for sweeps without one.
NOBODY = 0

#: What decides how long a job takes, besides its machine.
SETTINGS = ("scheduler_id", "steps", "guidance", "model_id")

#: 64 bits on a server, a plain rowid on SQLite.
Id = BigInteger().with_variant(Integer, "sqlite")


def _one_of(column: str, values: tuple[str, ...]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


models = Table(
    "models",
    metadata,
    Column("id", Id, primary_key=True),
    Column("fingerprint", String(32), nullable=False, unique=True),
    Column("family", Text, nullable=False),
    Column("embeds_guidance", Boolean, nullable=False),
    # Its class in diffusers; NULL until the model is submitted by a version that says.
    Column("pipeline", Text),
)

#: Where the files of a model were found; equal files may be in several places.
model_places = Table(
    "model_places",
    metadata,
    Column("id", Id, primary_key=True),
    Column("model_id", Id, ForeignKey("models.id"), nullable=False),
    Column("digest", String(32), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("revision", Text),
    Column("variant", Text),
    Column("commit_sha", Text),
    # When it was first and last submitted.
    Column("first_at", String(32), nullable=False),
    Column("last_at", String(32), nullable=False),
)

prompts = Table(
    "prompts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("digest", String(32), nullable=False, unique=True),
    Column("text", Text, nullable=False),
    Column("negative", Text, nullable=False),
)

#: Prompts as sweeps write them, before their choices are made.
templates = Table(
    "templates",
    metadata,
    Column("id", Id, primary_key=True),
    Column("digest", String(32), nullable=False, unique=True),
    Column("text", Text, nullable=False),
)

schedulers = Table(
    "schedulers",
    metadata,
    Column("id", Id, primary_key=True),
    Column("class_name", Text, nullable=False),
    Column("options", Text, nullable=False),
    Column("name", Text, nullable=False),
    UniqueConstraint("class_name", "options", "name"),
)

#: Every name that means a scheduler on a model, whose config may decide that. Jobs from
#: before this table have no rows here until a submission or a repair adds them.
scheduler_names = Table(
    "scheduler_names",
    metadata,
    Column("model_id", Id, ForeignKey("models.id"), primary_key=True),
    Column("scheduler_id", Id, ForeignKey("schedulers.id"), primary_key=True),
    Column("name", Text, primary_key=True),
)

#: The database itself: one row.
about = Table(
    "about",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    # A copy and a backup keep it; the markers of image folders hold it.
    Column("database_id", String(32), nullable=False),
    CheckConstraint("id = 1", name="only"),
)

#: Image folders: one that all hosts share, or one on each host.
folders = Table(
    "folders",
    metadata,
    Column("id", Id, primary_key=True),
    # The folder's own id, from its marker.
    Column("mark", String(32), nullable=False, unique=True),
)

#: Where each host has a folder, and since when, by that host's clock.
folder_places = Table(
    "folder_places",
    metadata,
    Column("folder_id", Id, ForeignKey("folders.id"), primary_key=True),
    Column("host", Text, primary_key=True),
    Column("path", Text, nullable=False),
    Column("noted_at", String(32), nullable=False),
)

environments = Table(
    "environments",
    metadata,
    Column("id", Id, primary_key=True),
    Column("digest", String(32), nullable=False, unique=True),
    Column("gpu", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("details", Text, nullable=False),
)

#: Whose sweeps they are: a name that people give, or the system's. The row with the id
#: `NOBODY` has no name, and stands for sweeps from before revision 0023.
owners = Table(
    "owners",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Text, unique=True),
    # What was added to the owner's share after times without work; see
    # `storage.jobs.fair_shares`.
    Column("lift_s", Float(53), nullable=False, server_default="0"),
    # The quota, in seconds of GPUs; NULL for none. Its period begins anew at `ends_at`,
    # in seconds since 1970; NULL for a quota in all.
    Column("gpu_s", Float(53)),
    Column("period", String(8)),
    Column("ends_at", Float(53)),
    # The owner's `used_s` and `made` when the period began.
    Column("base_s", Float(53), nullable=False, server_default="0"),
    Column("base_made", BigInteger, nullable=False, server_default="0"),
    _one_of("period", QUOTA_PERIODS),
)

#: What the images of owners took of GPUs since 0023, and how many there are. These are
#: the sums of a few rows for each owner, so that workers seldom wait for each other's
#: commits.
owner_uses = Table(
    "owner_uses",
    metadata,
    Column(
        "owner_id", Id, ForeignKey("owners.id"), primary_key=True, autoincrement=False
    ),
    # From the name of the worker, below `storage.jobs.owner_uses.SLOTS`.
    Column("slot", Integer, primary_key=True, autoincrement=False),
    Column("used_s", Float(53), nullable=False),
    Column("made", BigInteger, nullable=False),
)

sweeps = Table(
    "sweeps",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("revision", Integer, nullable=False),
    Column("digest", String(32), nullable=False),
    Column("spec", Text, nullable=False),
    Column("axes", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("created_at", String(32), nullable=False),
    # Why it was paused, where it paused itself.
    Column("reason", Text),
    Column("min_free_bytes", BigInteger, nullable=False, server_default="0"),
    # Whether its first results were judged, to pause a sweep that fails from the start.
    Column("judged", Boolean, nullable=False, server_default=false()),
    # How many jobs its submission is to store; NULL once they are stored.
    Column("submitting", BigInteger),
    # How often its state or priority changed, and how many of these changes reached all
    # of its jobs. A sweep from before revision 0011 has a change that did not.
    Column("changes", Integer, nullable=False, server_default="1"),
    Column("told", Integer, nullable=False, server_default="0"),
    # The sweep whose images are measured against this one's; NULL for people's own.
    Column("reference_of", Id, ForeignKey("sweeps.id")),
    # Of `owners`. No foreign key here and in `jobs`: SQLite adds none with a default.
    Column("owner_id", Id, nullable=False, server_default=str(NOBODY)),
    _one_of("state", SWEEP_STATES),
)

#: What stops a sweep, and what was used of it; a sweep without limits has no row.
budgets = Table(
    "budgets",
    metadata,
    Column(
        "sweep_id", Id, ForeignKey("sweeps.id"), primary_key=True, autoincrement=False
    ),
    # The limits: seconds of GPUs, a time in seconds since 1970, and images; NULL for
    # none.
    Column("gpu_s", Float(53)),
    Column("until", Float(53)),
    Column("images", BigInteger),
    # What its images took, and how many there are, since the limits were set.
    Column("used_s", Float(53), nullable=False),
    Column("made", BigInteger, nullable=False),
    # What stopped the sweep: its `gpu_s`, `until` or `images`, or its owner's `quota`.
    Column("reached", String(16)),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("key", String(32), nullable=False, unique=True),
    Column("sweep_id", Id, ForeignKey("sweeps.id"), nullable=False),
    Column("model_id", Id, ForeignKey("models.id"), nullable=False),
    Column("prompt_id", Id, ForeignKey("prompts.id"), nullable=False),
    Column("scheduler_id", Id, ForeignKey("schedulers.id"), nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("steps", Integer, nullable=False),
    Column("guidance", Float, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("dtype", String(16), nullable=False),
    Column("backend", String(16), nullable=False),
    Column("generator", String(8), nullable=False),
    Column("extras", Text, nullable=False),
    Column("group_key", String(16), nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("evaluations", Integer, nullable=False),
    Column("priority", Integer),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("deaths", Integer, nullable=False),
    Column("owner", Text),
    Column("lease_until", Float(53)),
    Column("error", Text),
    Column("created_at", String(32), nullable=False),
    # Where its model was when it was first submitted.
    Column("place_id", Id, ForeignKey("model_places.id")),
    # Whose share and quota it counts for: an owner of a sweep that wants it, or did.
    Column("payer_id", Id, nullable=False, server_default=str(NOBODY)),
    # Of its result, but here for the indexes; NULL unless it was made.
    Column("total_s", Float(53), index=True),
    _one_of("state", JOB_STATES),
    # What people ask for, each of which may be rare; see `storage.queries.paths`.
    Index("ix_jobs_settings", *SETTINGS, "total_s", "seed", "state"),
    Index(None, "seed"),
    Index(None, "prompt_id"),
    # All of that in the order of submission, in a tenth of the pages of the table.
    Index("ix_jobs_in_order", "id", *SETTINGS, "seed", "state", "total_s"),
)

#: Which combinations of settings the jobs have that a sweep was the first to want, and
#: between which ids these jobs are, so that questions look at few others. Some may have
#: no jobs any more.
job_settings = Table(
    "job_settings",
    metadata,
    Column("sweep_id", Id, ForeignKey("sweeps.id"), primary_key=True),
    Column("scheduler_id", Id, ForeignKey("schedulers.id"), primary_key=True),
    Column("model_id", Id, ForeignKey("models.id"), primary_key=True),
    Column("steps", Integer, primary_key=True, autoincrement=False),
    Column("guidance", Float, primary_key=True),
    Column("first_id", Id, nullable=False),
    Column("last_id", Id, nullable=False),
)

#: The conditions of the partial indexes of `jobs`. SQLite uses such an index only if
#: the query repeats the condition literally, with no parameter in place of the state.
RUNNABLE = text("state = 'pending' AND priority IS NOT NULL")
LEASED = text("state = 'leased'")
#: The same, with the column of the index: SQLite would look at all jobs to count them.
HELD = and_(LEASED, jobs.c.owner > "")
FAILED = text("state IN ('failed', 'quarantined')")
EVICTED = text("state = 'evicted'")
#: Those of scores name their table, since queries join them with jobs.
SCORE_PENDING = text("scores.state = 'pending'")
SCORE_LEASED = text("scores.state = 'leased'")
SCORE_WAITING = text("scores.state = 'waiting'")

results = Table(
    "results",
    metadata,
    Column("job_id", Id, ForeignKey("jobs.id"), primary_key=True, autoincrement=False),
    Column("environment_id", Id, ForeignKey("environments.id"), nullable=False),
    Column("worker", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("pixel_sha256", String(64), nullable=False),
    Column("batch_width", Integer, nullable=False),
    Column("slot", Integer, nullable=False),
    Column("evaluations", Integer, nullable=False),
    Column("queue_s", Float(53)),
    Column("load_s", Float(53), nullable=False),
    Column("encode_s", Float(53), nullable=False),
    Column("denoise_s", Float(53), nullable=False),
    Column("decode_s", Float(53), nullable=False),
    Column("save_s", Float(53), nullable=False),
    Column("peak_bytes", BigInteger),
    Column("warm_up", Boolean, nullable=False),
    Column("finished_at", String(32), nullable=False, index=True),
    Column("engine", String(16), nullable=False, server_default="plain"),
    Column("decode_dtype", String(16), nullable=False, server_default=""),
    # The folder of its file; NULL where that was not recorded.
    Column("folder_id", Id, ForeignKey("folders.id")),
    # Where its model was loaded from; NULL where that was not recorded.
    Column("place_id", Id, ForeignKey("model_places.id")),
)

#: Evicted images whose files may still be in a folder; a row goes with its file.
removals = Table(
    "removals",
    metadata,
    Column("job_id", Id, ForeignKey("jobs.id"), primary_key=True, autoincrement=False),
    Column("folder_id", Id, ForeignKey("folders.id"), nullable=False),
)

#: Groups that a worker of a host could not make, through no fault of their jobs, and
#: when it tries again, by that host's clock.
blocks = Table(
    "blocks",
    metadata,
    Column("group_key", String(16), primary_key=True),
    Column("host", Text, primary_key=True),
    Column("worker", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("since", String(32), nullable=False),
    Column("retry_at", String(32), nullable=False),
)

#: Worker processes: what each is doing, and when it last gave a sign of life.
workers = Table(
    "workers",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("gpu", Text, nullable=False),
    Column("phase", String(16), nullable=False),
    Column("detail", Text, nullable=False),
    Column("images", BigInteger, nullable=False),
    Column("images_per_s", Float(53)),
    Column("started_at", String(32), nullable=False),
    Column("phase_at", String(32), nullable=False),
    Column("seen_at", String(32), nullable=False),
    # Steps done of unfinished images, as images: 0.5 is half of one.
    Column("in_hand", Float(53), nullable=False, server_default="0"),
    # What it paints with: it takes only jobs of this back end.
    Column("backend", String(16), nullable=False, server_default="torch"),
    # Rows of its batches since it was started, and those of them with a job.
    Column("rows_run", BigInteger, nullable=False, server_default="0"),
    Column("rows_used", BigInteger, nullable=False, server_default="0"),
)

#: What can be measured of an image: one row per metric, version, model and reference.
metrics = Table(
    "metrics",
    metadata,
    Column("id", Id, primary_key=True),
    # A hash of all but the source and the direction; messages hold it.
    Column("digest", String(32), nullable=False, unique=True),
    Column("name", String(64), nullable=False),
    # What loads it: the name, or where the class of a user's own metric was last.
    Column("source", Text, nullable=False),
    # Empty where it is not known.
    Column("version", Text, nullable=False),
    # The model that judges, and its fingerprint; empty for none.
    Column("model", Text, nullable=False),
    Column("model_fingerprint", Text, nullable=False),
    # How the image that it is compared with differs, as JSON: {"steps": 200}, or {}.
    Column("reference", Text, nullable=False),
    Column("higher_is_better", Boolean, nullable=False),
)

#: What is asked of each image, and what came out.
scores = Table(
    "scores",
    metadata,
    Column("job_id", Id, ForeignKey("jobs.id"), primary_key=True),
    Column("metric_id", Id, ForeignKey("metrics.id"), primary_key=True),
    # The job whose image it is compared with.
    Column("reference_id", Id, ForeignKey("jobs.id")),
    Column("state", String(16), nullable=False),
    Column("value", Float(53)),
    Column("attempts", Integer, nullable=False),
    Column("deaths", Integer, nullable=False),
    Column("owner", Text),
    Column("lease_until", Float(53)),
    Column("error", Text),
    Column("scored_at", String(32)),
    # The pixels that were scored, and those that they were compared with.
    Column("pixel_sha256", String(64)),
    Column("reference_sha256", String(64)),
    _one_of("state", SCORE_STATES),
    Index(None, "metric_id", "value"),
)

#: What people say of images: one row per image and person. Who takes everything back
#: has no row.
ratings = Table(
    "ratings",
    metadata,
    Column("job_id", Id, ForeignKey("jobs.id"), primary_key=True),
    Column("who", Text, primary_key=True),
    # 1 to 5; NULL for none.
    Column("stars", Integer),
    Column("verdict", String(16)),
    Column("rated_at", String(32), nullable=False),
    CheckConstraint("stars BETWEEN 1 AND 5", name="stars"),
    _one_of("verdict", VERDICTS),
)

#: Which of two images that differ in one axis somebody prefers.
votes = Table(
    "votes",
    metadata,
    Column("id", Id, primary_key=True),
    Column("who", Text, nullable=False),
    Column("axis", Text, nullable=False),
    Column("job_a", Id, ForeignKey("jobs.id"), nullable=False),
    Column("job_b", Id, ForeignKey("jobs.id"), nullable=False),
    Column("winner", String(3), nullable=False),
    # The query whose images were voted on.
    Column("query", Text, nullable=False),
    Column("voted_at", String(32), nullable=False),
    _one_of("winner", WINNERS),
)

sweep_jobs = Table(
    "sweep_jobs",
    metadata,
    Column("sweep_id", Id, ForeignKey("sweeps.id"), primary_key=True),
    Column("job_id", Id, ForeignKey("jobs.id"), primary_key=True, index=True),
    Column("position", BigInteger, nullable=False),
    Column("scheduler_label", Text),
    Column("cell", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    # NULL where the sweep writes the prompt without choices.
    Column("template_id", Id, ForeignKey("templates.id")),
)

#: How wide a batch may be, for all workers; `width` and `height` are pixels.
widths = Table(
    "widths",
    metadata,
    Column("model_fingerprint", String(32), primary_key=True),
    Column("dtype", String(16), primary_key=True),
    Column("width", Integer, primary_key=True, autoincrement=False),
    Column("height", Integer, primary_key=True, autoincrement=False),
    Column("guided", Boolean, primary_key=True),
    Column("gpu", Text, primary_key=True),
    Column("batch_width", Integer, nullable=False),
    Column("reason", String(16), nullable=False),
    Column("images_per_s", Float(53)),
    Column("noted_at", String(32), nullable=False),
    _one_of("reason", WIDTH_REASONS),
)

#: Whether a group runs compiled networks, for all workers.
compilations = Table(
    "compilations",
    metadata,
    Column("group_key", String(16), primary_key=True),
    Column("model_fingerprint", String(32), nullable=False),
    # Of the worker that decided.
    Column("gpu", Text, nullable=False),
    Column("compiled", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    # The sweep that it was decided for, and its revision then.
    Column("sweep_id", Id, ForeignKey("sweeps.id"), nullable=False),
    Column("revision", Integer, nullable=False),
    # Seconds that compiling took; NULL while nobody has.
    Column("cost_s", Float(53)),
    Column("decided_at", String(32), nullable=False),
)

#: What calibrations measured. People read it as it is, so names are not ids here.
speeds = Table(
    "speeds",
    metadata,
    Column("model", Text, nullable=False),
    Column("model_fingerprint", String(32), primary_key=True),
    Column("gpu", Text, nullable=False),
    Column(
        "environment_id",
        Id,
        ForeignKey("environments.id"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("dtype", String(16), primary_key=True),
    Column("width", Integer, primary_key=True, autoincrement=False),
    Column("height", Integer, primary_key=True, autoincrement=False),
    Column("guided", Boolean, primary_key=True),
    Column("guidance", Float(53), nullable=False),
    Column("scheduler", Text, primary_key=True),
    Column("scheduler_class", Text, primary_key=True),
    Column("scheduler_options", Text, primary_key=True),
    Column("steps", Integer, primary_key=True, autoincrement=False),
    Column("evaluations", Integer, nullable=False),
    Column("images", Integer, nullable=False),
    Column("median_s", Float(53), nullable=False),
    Column("least_s", Float(53), nullable=False),
    Column("most_s", Float(53), nullable=False),
    Column("measured_at", String(32), nullable=False),
)
