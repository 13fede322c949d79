"""Every setting as a field of `Settings`, with the checks between settings."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_core.core_schema import ValidationInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from sync.errors import NeedsOperator
from sync.settings import server_urls, surroundings, values

PREFIX = "SYNC_"
TEST_PREFIX = "SYNC_TEST_"  # sync/failpoints.py
_GENERATE_KEY = (
    "python3 -c 'import base64,os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())'"
)

_Number = Annotated[float, Field(allow_inf_nan=False)]
MOST_A_SECOND = 1000
"""The highest limit: the limiter's script keeps a second of slots."""
_Rate = Annotated[_Number, Field(gt=0, le=MOST_A_SECOND)]


class Settings(BaseSettings):
    """The settings of the operator. A server whose URL is None is the embedded one."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    database_url: Annotated[SecretStr | None, BeforeValidator(values.database_url)] = Field(
        default=None,
        description="the Postgres URL, or leave it empty for the embedded Postgres",
        examples=["postgresql://mirror:secret@db.example.com:5432/mirror"],
    )
    redis_url: Annotated[SecretStr | None, BeforeValidator(values.redis_url)] = Field(
        default=None,
        description="the Redis URL, or leave it empty for the embedded valkey",
        examples=["redis://:secret@redis.example.com:6379/0"],
    )
    secret_key: Annotated[SecretStr | None, BeforeValidator(values.secret_key)] = Field(
        default=None,
        validate_default=True,
        description="32 random bytes in url-safe base64, which encrypt the API keys at rest",
        examples=[f"what this prints: {_GENERATE_KEY}"],
    )
    data_dir: Path = Field(
        default=Path(".data"),
        validate_default=True,
        description="the folder for the embedded servers and their generated secrets",
        examples=[".data"],
    )
    rate_limit: _Rate = Field(
        default=10,
        description=f"requests per second above 0, at most {MOST_A_SECOND}, all stores together",
        examples=["10"],
    )
    telephony_rate_limit: _Rate = Field(
        default=40,
        description=f"telephony requests per second above 0, at most {MOST_A_SECOND}",
        examples=["40"],
    )
    egress: Annotated[str, BeforeValidator(values.egress)] = Field(
        default="default",
        description="a name for the IP address requests leave from: letters, digits, . _ -",
        examples=["default"],
    )
    egress_address: Annotated[str, BeforeValidator(values.address)] = Field(
        default="",
        description="the local IP address to send from, or leave it empty",
        examples=["192.0.2.10"],
    )
    feed_seconds: Annotated[_Number, Field(ge=1)] = Field(
        default=15, description="seconds between two looks at a feed, 1 or more", examples=["15"]
    )
    feed_max_seconds: _Number = Field(
        default=900,
        validate_default=True,
        description="the longest wait for a quiet feed in seconds, at least SYNC_FEED_SECONDS",
        examples=["900"],
    )
    first_byte_seconds: Annotated[_Number, Field(ge=1, le=240)] = Field(
        default=100,
        description="seconds that an account may take to begin an answer, 1 to 240; a page that "
        "takes longer is asked for smaller",
        examples=["100"],
    )
    answer_seconds: Annotated[_Number, Field(ge=1, le=240)] = Field(
        default=120,
        validate_default=True,
        description="seconds that an account may take from a request to the end of its answer, at "
        "least SYNC_FIRST_BYTE_SECONDS, at most 240",
        examples=["120"],
    )
    allow_hosts: Annotated[tuple[str, ...], BeforeValidator(values.hosts)] = Field(
        default=(),
        description="host names a store may have besides RetailCRM's and Simla's, comma between, "
        "without scheme, port or path",
        examples=["crm.example.com,crm.example.org"],
    )
    log_format: Literal["console", "json"] = Field(
        default="console", description="console or json", examples=["json"]
    )
    sentry_dsn: Annotated[SecretStr | None, BeforeValidator(values.sentry_dsn)] = Field(
        default=None,
        description="the DSN from Sentry's project settings, or leave it empty",
        examples=["https://key@sentry.example.com/1"],
    )
    otel_endpoint: Annotated[str, BeforeValidator(values.endpoint)] = Field(
        default="",
        repr=False,
        description="where an OpenTelemetry collector takes OTLP over HTTP, or leave it empty",
        examples=["http://collector.example.com:4318"],
    )
    web_token: Annotated[SecretStr | None, BeforeValidator(values.secret_text)] = Field(
        default=None,
        description="what an operator types to log in to the status page, 20 characters or more",
        examples=[f"what this prints: {_GENERATE_KEY}"],
    )
    web_read_token: Annotated[SecretStr | None, BeforeValidator(values.secret_text)] = Field(
        default=None,
        description="what somebody types who may look at the status page and push no button, 20 "
        "characters or more, or leave it empty",
        examples=[f"what this prints: {_GENERATE_KEY}"],
    )
    web_scrape_token: Annotated[SecretStr | None, BeforeValidator(values.secret_text)] = Field(
        default=None,
        description="what Prometheus sends for /metrics and opens nothing else, 20 characters or "
        "more, or leave it empty",
        examples=[f"what this prints: {_GENERATE_KEY}"],
    )
    web_proxies: Annotated[tuple[str, ...], BeforeValidator(values.proxies)] = Field(
        default=("127.0.0.1", "::1"),
        description="the addresses or networks of the https proxies before the status page, whose "
        "X-Forwarded-Proto and X-Forwarded-For are believed, comma between; gateway stands for the "
        "host of this container",
        examples=["127.0.0.1,192.0.2.0/24"],
    )
    webhook_url: Annotated[SecretStr | None, BeforeValidator(values.webhook_url)] = Field(
        default=None,
        description="the https URL that is told when a store needs an operator, or leave it empty",
        examples=["https://hooks.example.com/services/T0/B0/x"],
    )
    webhook_secret: Annotated[SecretStr | None, BeforeValidator(values.secret_text)] = Field(
        default=None,
        validate_default=True,
        description="what the webhook's messages are signed with, 20 characters or more",
        examples=[f"what this prints: {_GENERATE_KEY}"],
    )
    notify_lag_seconds: Annotated[_Number, Field(ge=60)] = Field(
        default=1800,
        description="seconds of lag that the webhook is told of, 60 or more",
        examples=["1800"],
    )
    health_dir: Path | None = Field(
        default=None,
        description="a folder in which workers and beat touch a file after their work, for health "
        "checks, or leave it empty",
        examples=["/tmp/health"],  # noqa: S108  of a container
    )

    @field_validator("secret_key")
    @classmethod
    def _needed_with_a_database(
        cls, value: SecretStr | None, info: ValidationInfo
    ) -> SecretStr | None:
        # A key is generated for an embedded database only. With a shared database, two hosts would
        # generate different keys, and neither could decrypt what the other wrote.
        if value is None and info.data.get("database_url") is not None:
            raise ValueError("it is missing, and SYNC_DATABASE_URL is set")
        return value

    @field_validator("web_read_token", "web_scrape_token")
    @classmethod
    def _opens_one_thing(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        for field in ("web_token", "web_read_token"):
            if value is not None and value == info.data.get(field):
                raise ValueError(f"it is also {PREFIX}{field.upper()}, which may do other things")
        return value

    @field_validator("webhook_secret")
    @classmethod
    def _needed_with_a_webhook(
        cls, value: SecretStr | None, info: ValidationInfo
    ) -> SecretStr | None:
        if value is None and info.data.get("webhook_url") is not None:
            raise ValueError("it is missing, and SYNC_WEBHOOK_URL is set")
        return value

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        try:
            return value.expanduser().absolute()  # a later chdir must not change it
        except RuntimeError:
            raise ValueError("there is no such user") from None

    @field_validator("feed_max_seconds")
    @classmethod
    def _not_below_feed_seconds(cls, value: float, info: ValidationInfo) -> float:
        least = info.data.get("feed_seconds", 1)
        if value < least:
            raise ValueError(f"it is less than SYNC_FEED_SECONDS ({least:g})")
        return value

    @field_validator("answer_seconds")
    @classmethod
    def _not_below_first_byte_seconds(cls, value: float, info: ValidationInfo) -> float:
        least = info.data.get("first_byte_seconds", 1)
        if value < least:
            raise ValueError(f"it is less than SYNC_FIRST_BYTE_SECONDS ({least:g})")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Disable pydantic's own reading of the environment: `from_env` does it, in plain words."""
        return (init_settings,)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Parse all variables; raise one NeedsOperator that lists every mistake.

        An empty variable counts as missing: compose files pass `${SYNC_X:-}`.
        """
        values, mistakes = _collect(environ)
        try:
            parsed = cls.model_validate(values)
        except ValidationError as error:
            mistakes |= {
                str(detail["loc"][0]): _worded(detail, values)
                for detail in reversed(error.errors(include_url=False))
                if detail["loc"][0] not in mistakes
            }
        told = [mistakes[name] for name in FIELDS if name in mistakes]
        told += [unknown_mistake(name) for name in _unknown(environ)]
        told += surroundings.mistakes(environ)
        if told:
            lines = "\n".join(f"  {line}" for line in told)
            # `from None`: the error of pydantic would print the values, secrets included.
            raise NeedsOperator(f"The settings need correcting:\n{lines}") from None
        return parsed


FIELDS = tuple(Settings.model_fields)
FROM_FILE = (
    "database_url", "redis_url", "secret_key", "sentry_dsn", "web_token", "web_read_token",
    "web_scrape_token", "webhook_url", "webhook_secret",
)  # fmt: skip

MAY_BE_EMPTY = (
    "sentry_dsn", "web_read_token", "web_scrape_token", "webhook_url", "webhook_secret",
)  # fmt: skip
"""Files that may be empty, like variables: a compose file names them, used or not."""


def variable(field: str) -> str:
    """Return the environment variable of a field: SYNC_RATE_LIMIT for `rate_limit`."""
    return f"{PREFIX}{field.upper()}"


def _collect(environ: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the environment's values by field, and the mistakes by field."""
    values: dict[str, str] = {}
    mistakes: dict[str, str] = {}
    for field in FIELDS:
        name = variable(field)
        text = environ.get(name, "").strip()
        path = environ.get(f"{name}_FILE", "").strip() if field in FROM_FILE else ""
        if text and path:
            # Units and manifests name a file for each secret, and the variable may be older.
            if not _is_blank(path):
                mistakes[field] = f"{name} and {name}_FILE are both set; keep one of them."
        elif path:
            try:
                # Editors of Windows put a byte order mark before the text.
                text = Path(path).read_text(encoding="utf-8-sig").strip()
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
                if isinstance(error, PermissionError):
                    reason += (
                        f" for uid {os.getuid()}; chmod 444 it, in a folder only you may enter"
                    )
                # The text is shown only if it looks like a path: it could be the secret itself.
                found = (
                    f'is "{path}", which cannot be read ({reason})'
                    if path.startswith(("/", "."))
                    else "does not look like a path: it begins with neither / nor ."
                )
                mistakes[field] = (
                    f"{name}_FILE {found}; "
                    f"write the path of a file this user can read, e.g. /run/secrets/{field}."
                )
            else:
                if not text and field not in MAY_BE_EMPTY:
                    mistakes[field] = f'{name}_FILE is "{path}", which is empty; fill the file.'
        if text:
            values[field] = text
    return values, mistakes


def _is_blank(path: str) -> bool:
    """Tell whether a file is there and has nothing in it."""
    try:
        return not Path(path).read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError):
        return False


def _unknown(environ: Mapping[str, str]) -> list[str]:
    """Return the SYNC_ variables that are no setting: set and without effect, by a typing mistake.

    An empty one changes nothing anyway, like that of a setting.
    """
    known = {variable(field) for field in FIELDS} | {f"{variable(f)}_FILE" for f in FROM_FILE}
    return sorted(
        name
        for name, value in environ.items()
        if name.startswith(PREFIX)
        and not name.startswith(TEST_PREFIX)
        and name not in known
        and value.strip()
    )


def _worded(detail: Any, values: Mapping[str, str]) -> str:
    """Return a message: what is wrong, what to write, and an example.

    The message never contains a secret, nor a value with a @, which may follow a password.
    """
    field = detail["loc"][0]
    about = Settings.model_fields[field]
    error = detail.get("ctx", {}).get("error")
    shown = str(values.get(field, about.default))
    wrong = "cannot be used" if field in FROM_FILE or "@" in shown else f'is "{shown}"'
    reason = f" ({error})" if error else ""
    example = (about.examples or [""])[0]
    return f"{variable(field)} {wrong}{reason}; write {about.description}, e.g. {example}"


def warnings(found: Settings) -> list[str]:
    """Return a sentence for each thing that was set and has no effect."""
    if found.database_url is None:
        return []
    return [
        f"{variable('database_url')} sets {option}, which the mirror's connections set"
        " themselves: it has no effect"
        for option in server_urls.overridden(found.database_url.get_secret_value())
    ]


def unknown_mistake(name: str) -> str:
    """Say that a SYNC_ variable is no setting, with the nearest setting."""
    known = [variable(field) for field in FIELDS] + [f"{variable(f)}_FILE" for f in FROM_FILE]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    return f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else "; remove it.")
