"""Where everything lives: the settings, read from the environment.

| variable | meaning | default |
|---|---|---|
| `NIGHTSWEEP_HOME` | state: database, embedded Redis, logs | `~/nightsweep` |
| `NIGHTSWEEP_IMAGES` | folder or `s3://bucket/prefix` | `$NIGHTSWEEP_HOME/images` |
| `NIGHTSWEEP_CACHE_GB` | most copies of images that are in a bucket | 10 |
| `NIGHTSWEEP_DATABASE_URL` | SQLAlchemy URL | SQLite in the state folder |
| `NIGHTSWEEP_REDIS_URL` | Celery broker URL | the embedded Redis |
| `NIGHTSWEEP_LEASE_S` | seconds after which silence frees a job | 90 |
| `NIGHTSWEEP_COMPILE` | 1, 0 or auto: whether batches run compiled networks | auto |
| `NIGHTSWEEP_GPUS` | GPUs that `worker` serves | all |
| `NIGHTSWEEP_WORKERS` | processes of `worker` on a CPU | one a core, 8 at most |
| `NIGHTSWEEP_EXIT_WHEN_IDLE` | time without work after which `worker` ends | never |
| `NIGHTSWEEP_STOP_AFTER` | time after which `worker` ends: `8h` | never |
| `NIGHTSWEEP_LIMITS_S` | limits of the watchdog: `painting=3600` | 900 for a step |
| `NIGHTSWEEP_USER` | whose sweeps, ratings and votes these are | the system's user |
| `NIGHTSWEEP_LOG` | `text` or `json`: how the lines of log files are written | text |
| `NIGHTSWEEP_NOTIFY` | web hooks that tell a phone: `ntfy:URL slack:URL` | none |
| `NIGHTSWEEP_TOKEN` | what people log in to the gallery with | made by `view` |
"""

import getpass
import math
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from storage.errors import UsageError
from storage.image_address import ImageAddress, is_url, read_bucket_address
from storage.texts import is_text, shown_bytes

#: Every environment variable that nightsweep reads, with its meaning.
VARIABLES: Mapping[str, str] = {
    "NIGHTSWEEP_HOME": "state: database, embedded Redis, logs (~/nightsweep)",
    "NIGHTSWEEP_IMAGES": "image files: folder or s3://bucket/prefix; for one database "
    "($NIGHTSWEEP_HOME/images)",
    "NIGHTSWEEP_CACHE_GB": "most copies of images that are in a bucket (10)",
    "NIGHTSWEEP_DATABASE_URL": "SQLAlchemy URL (SQLite in the state folder)",
    "NIGHTSWEEP_REDIS_URL": "Celery broker URL (the embedded Redis)",
    "NIGHTSWEEP_LEASE_S": "seconds after which silence frees a job (90)",
    "NIGHTSWEEP_COMPILE": "1, 0 or auto: whether batches run compiled networks (auto)",
    "NIGHTSWEEP_GPUS": "GPUs that `worker` serves (all)",
    "NIGHTSWEEP_WORKERS": "processes of `worker` on a CPU (one a core, 8 at most)",
    "NIGHTSWEEP_EXIT_WHEN_IDLE": "time without work after which `worker` ends (never)",
    "NIGHTSWEEP_STOP_AFTER": "time after which `worker` ends, as 8h (never)",
    "NIGHTSWEEP_LIMITS_S": "limits of the watchdog, as painting=3600 (900 for a step)",
    "NIGHTSWEEP_USER": "whose sweeps, ratings and votes these are (the system's user)",
    "NIGHTSWEEP_LOG": "text or json: how the lines of log files are written (text)",
    "NIGHTSWEEP_NOTIFY": "web hooks that tell a phone: ntfy:URL slack:URL (none)",
    "NIGHTSWEEP_TOKEN": "what people log in to the gallery with (made by `view`)",
}

#: What a broker's URL may begin with.
REDIS_SCHEMES = ("redis://", "rediss://", "redis+socket://", "sentinel://")

#: The error for a URL that would be split inside its password: other errors would
#: show a part of the password as the host.
_UNQUOTED = (
    "{} must have a number as its port, and a password with %40 for @, %2F for /, %23 "
    "for #, %3F for ? and so on, but does not; it is not shown here, since a part of "
    "the password may look like its host."
)

#: What looks like options at the end of SQLite's URL.
_OPTIONS = re.compile(r"\?\w+=[^/]*$")

#: Seconds for which a silent worker keeps a lease and a message.
LEASE_S = 90.0

#: Gigabytes of copies of images that are in a bucket, at the most.
CACHE_GB = 10.0

#: Most letters of a user's name.
MOST_NAME = 64

#: File systems on which SQLite's and Redis's locks cannot be trusted.
NETWORK_FILESYSTEMS = frozenset(
    (
        *("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "afs", "9p", "davfs"),
        *("ceph", "lustre", "gpfs", "beegfs", "glusterfs", "fuse.glusterfs"),
        *("fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where state, images, database and queue are.

    Attributes:
        home: Absolute state folder, on a local disk.
        images: Absolute image folder, or a bucket.
        database_url: SQLAlchemy URL.
        redis_url: Broker URL, or None for the embedded Redis.
        lease_s: Seconds after which silence frees a job.
        compile_networks: Whether batches run compiled networks: faster on a GPU after
            minutes of compiling, with results that differ in the last bits. None to
            decide that for each group on a GPU, by the work that is left.
        user: Whose ratings and votes are stored.
        json_logs: Whether lines of log files are JSON objects.
    """

    home: Path
    images: ImageAddress
    database_url: str
    redis_url: str | None = None
    lease_s: float = LEASE_S
    compile_networks: bool | None = None
    user: str = ""
    json_logs: bool = False

    @property
    def database_path(self) -> Path | None:
        """The SQLite file, or None for a database server."""
        return sqlite_path(self.database_url)

    @property
    def image_folder(self) -> Path | None:
        """The folder of images, on a disk that may be full; None for a bucket."""
        return self.images if isinstance(self.images, Path) else None

    @property
    def logs(self) -> Path:
        """Folder of the workers' log files."""
        return self.home / "logs"

    @property
    def locks(self) -> Path:
        """Folder of the locks of CPU workers."""
        return self.home / "seats"  # as workers of older versions call it

    def make_home(self) -> None:
        """Create the state folder, private to its owner.

        Raises:
            UsageError: The folder is on a network file system, is open to everybody,
                or cannot be made.
        """
        refuse_network_filesystem(self.home)
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            _refuse_public(self.home)
            if isinstance(self.images, Path):
                self.images.mkdir(parents=True, exist_ok=True)
            self.logs.mkdir(mode=0o700, exist_ok=True)
            self.locks.mkdir(mode=0o700, exist_ok=True)
        except OSError as exc:
            msg = (
                f"The state folder must be writable: {exc.strerror}: {exc.filename}; "
                "set NIGHTSWEEP_HOME (and NIGHTSWEEP_IMAGES) to folders of yours."
            )
            raise UsageError(msg) from exc


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from `environ`, by default the process's own.

    Raises:
        UsageError: A value cannot be used.
    """
    env = os.environ if environ is None else environ
    for variable in VARIABLES:
        _require_text(variable, env.get(variable, ""))
    home = _folder("NIGHTSWEEP_HOME", env.get("NIGHTSWEEP_HOME") or "~/nightsweep")
    images = env.get("NIGHTSWEEP_IMAGES") or str(home / "images")
    cache_bytes = _cache_bytes(env.get("NIGHTSWEEP_CACHE_GB"))
    default_url = f"sqlite:///{home / 'nightsweep.db'}"
    return Settings(
        home=home,
        images=_images(images, cache=home / "cache", cache_bytes=cache_bytes),
        database_url=_database_url(env.get("NIGHTSWEEP_DATABASE_URL")) or default_url,
        redis_url=_redis_url(env.get("NIGHTSWEEP_REDIS_URL")),
        lease_s=_lease_s(env.get("NIGHTSWEEP_LEASE_S")),
        compile_networks=_compile_networks(env.get("NIGHTSWEEP_COMPILE")),
        user=_user(env.get("NIGHTSWEEP_USER")),
        json_logs=_json_logs(env.get("NIGHTSWEEP_LOG")),
    )


def settings_at(home: Path | str | Settings | None) -> Settings:
    """Return the settings of a state folder.

    All else is as the environment says, as if NIGHTSWEEP_HOME were this folder.

    Args:
        home: The folder; None for that of the environment. Settings stay as they are.

    Raises:
        UsageError: A value cannot be used.
    """
    if isinstance(home, Settings):
        return home
    if home is None:
        return read_settings()
    return read_settings({**os.environ, "NIGHTSWEEP_HOME": str(home)})


def sqlite_path(url: str) -> Path | None:
    """Return SQLite's file, or None for a server.

    Raises:
        UsageError: The URL names no file.
    """
    if re.match(r"sqlite\b", url, re.IGNORECASE) is None:
        return None
    # Taken literally: a `%` or `?` in a folder's name has no special meaning.
    path = url.removeprefix("sqlite:///")
    options = _OPTIONS.search(path)
    if path in (url, "", ":memory:") or options:
        way_out = f"; leave out {options[0]!r}" if options else ""
        msg = (
            "NIGHTSWEEP_DATABASE_URL must name a file that every command can open, and "
            "no options, which nightsweep sets itself: sqlite:////folder/file.db, got "
            f"{url!r}{way_out}."
        )
        raise UsageError(msg)
    return Path(path)


def refuse_network_filesystem(folder: Path) -> None:
    """Refuse a state folder whose locks cannot be trusted.

    Raises:
        UsageError: The folder, or its nearest existing parent, is on a network
            file system.
    """
    kind = filesystem_of(folder)
    if kind in NETWORK_FILESYSTEMS:
        msg = (
            f"State must be on a local disk, but {folder} is on {kind}, where the "
            "locks of SQLite and Redis cannot be trusted; set NIGHTSWEEP_HOME to a "
            "local folder, and NIGHTSWEEP_IMAGES to the shared one if the images "
            "should stay there."
        )
        raise UsageError(msg)


def filesystem_of(folder: Path) -> str:
    """Return the file system type of `folder` or of its nearest existing parent."""
    import psutil

    real = folder.resolve()
    mounts = {Path(p.mountpoint): p.fstype for p in psutil.disk_partitions(all=True)}
    return next((mounts[p] for p in (real, *real.parents) if p in mounts), "")


def without_password(url: str) -> str:
    """Return `url`, well formed or not, with its password masked, for messages.

    Many malformed URLs have an unquoted `/` or `@` in the password, so everything up
    to the last `@` is masked.
    """
    masked = re.sub(r"(://[^:@/]*):.*@", r"\1:***@", url)
    return re.sub(r"([?&]password)=[^&]*", r"\1=***", masked)


def _refuse_public(folder: Path) -> None:
    if folder.stat().st_mode & stat.S_IWOTH:
        msg = (
            f"Nobody else may write to the state folder, but everybody may to {folder}"
            "; run `chmod o-w` on it, or set NIGHTSWEEP_HOME to a new folder inside, "
            "which will be private."
        )
        raise UsageError(msg)


def _require_text(variable: str, value: str) -> None:
    if not is_text(value):
        msg = (
            f"{variable} must be UTF-8 text, got {shown_bytes(without_password(value))}"
            "; set it to a name in UTF-8, and rename the folder if it has this name."
        )
        raise UsageError(msg)


def _folder(variable: str, text: str) -> Path:
    try:
        folder = Path(text).expanduser().absolute()
    except RuntimeError as exc:  # no HOME, as in many containers
        msg = (
            f"A path under ~ must have a home directory, but {text} has none; "
            "set NIGHTSWEEP_HOME (and NIGHTSWEEP_IMAGES) to absolute paths."
        )
        raise UsageError(msg) from exc
    _require_text(variable, str(folder))
    if folder.is_file():
        msg = f"{variable} must be a folder, but {folder} is a file; name another."
        raise UsageError(msg)
    return folder


def _images(text: str, *, cache: Path, cache_bytes: int) -> ImageAddress:
    if is_url(text):
        return read_bucket_address(text, cache=cache, cache_bytes=cache_bytes)
    return _folder("NIGHTSWEEP_IMAGES", text)


def _cache_bytes(text: str | None) -> int:
    try:
        value = float(text) if text else CACHE_GB
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        msg = f"NIGHTSWEEP_CACHE_GB must be gigabytes, more than 0, got {text!r}."
        raise UsageError(msg)
    return int(value * 1e9)


def _redis_url(text: str | None) -> str | None:
    if text and not text.startswith(REDIS_SCHEMES):
        msg = (
            f"NIGHTSWEEP_REDIS_URL must begin with {' or '.join(REDIS_SCHEMES)}, got "
            f"{without_password(text)!r}; redis://:PASSWORD@HOST:6379/0 is the usual "
            "form; leave it unset for the embedded Redis."
        )
        raise UsageError(msg)
    for url in (text or "").split(";"):  # Celery takes several
        # A password ends at the last @, but never after a /, ? or #.
        if re.search(r"://[^/?#]*[/?#].*@", url) or not _has_port_or_none(url):
            msg = _UNQUOTED.format("NIGHTSWEEP_REDIS_URL")
            raise UsageError(msg)
    return text or None


def _database_url(text: str | None) -> str | None:
    if text and sqlite_path(text) is None:
        # SQLAlchemy ends the password at the first @.
        rest = re.sub(r"://[^:/@]*(:[^@]*)?@", "://", text)
        if re.search(r"://[^/?]*@", rest) or not _has_port_or_none(rest):
            msg = _UNQUOTED.format("NIGHTSWEEP_DATABASE_URL")
            raise UsageError(msg)
    return text


def _has_port_or_none(url: str) -> bool:
    try:
        _ = urlsplit(url).port
    except ValueError:
        return False
    return True


def _compile_networks(text: str | None) -> bool | None:
    choices = {"1": True, "0": False, "auto": None}
    if (text or "auto") not in choices:
        msg = f"NIGHTSWEEP_COMPILE must be 1, 0 or auto, got {text!r}."
        raise UsageError(msg)
    return choices[text or "auto"]


def _json_logs(text: str | None) -> bool:
    if (text or "text") not in ("text", "json"):
        msg = f"NIGHTSWEEP_LOG must be text or json, got {text!r}."
        raise UsageError(msg)
    return text == "json"


def is_owner_name(name: str) -> bool:
    """Return whether a person may have that name."""
    return 0 < len(name) <= MOST_NAME and name.isprintable()


def _user(text: str | None) -> str:
    name = (text or "").strip()
    if name and not is_owner_name(name):
        msg = (
            f"NIGHTSWEEP_USER must be a name of at most {MOST_NAME} letters, got "
            f"{name[:MOST_NAME]!r}; shorten it."
        )
        raise UsageError(msg)
    try:
        return name or getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in many containers
        return f"user {os.getuid()}"


def _lease_s(text: str | None) -> float:
    try:
        value = float(text) if text else LEASE_S
    except ValueError:
        value = 0.0
    if not 1 <= value < math.inf:
        msg = f"NIGHTSWEEP_LEASE_S must be seconds, 1 or more, got {text!r}."
        raise UsageError(msg)
    return value
