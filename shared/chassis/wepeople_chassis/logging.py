"""One line of JSON per event on stderr, or plain words on a terminal.

Every line of a request says which one it is, and whose (`about_request`). No line has a secret: what looks like one is
blotted out of the finished line, wherever it came from, tracebacks and other libraries' words included.
"""

import logging
import re
import sys
from contextvars import ContextVar
from types import TracebackType

import structlog

from wepeople_chassis.tracing import trace_id

_about: ContextVar[dict[str, str] | None] = ContextVar("wepeople_about_request", default=None)

_NAMES = r"(?:password|passwd|passphrase|nats_seed|secret)"
# What is between quotes, which a line of JSON may have escaped once more; never past the end of JSON's own string.
_QUOTED = r"""(\\*["'])(?:(?!\2)(?:\\\\(?:'|\\")|\\.|[^"\\]))+"""

_SECRETS = (
    (re.compile(r"\bwp_live_[0-9a-f]{13,}"), "wp_live_…"),
    (re.compile(r"(?i)\b(bearer\s+)(?!wp_live_…)[^\s\"'\\]+"), r"\1…"),
    (re.compile(r"(?i)(authorization[\"'\\]*\s*[=:]\s*[\"'\\]*(?:\w+\s+)?)[^\s\"'\\]+"), r"\1…"),
    (re.compile(r"\bS[ACOUNX][A-Z2-7]{56}\b"), "S…"),
    (re.compile(r"(BEGIN [A-Z ]{0,20}PRIVATE KEY-----)(?:(?!-----END)(?:\\[^\"]|[^\"\\]))+"), r"\1…"),
    (re.compile(r"(SCRAM-SHA-\d+\$)[^\s\"'\\]+"), r"\1…"),
    (re.compile(r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}"), "$2b$…"),
    (re.compile(r"(?i)\b((?:postgres(?:ql)?|nats|tls)://[^\s:/@\"'\\]*):[^\s,\"'\\]+(?=@)"), r"\1:…"),
    (re.compile(r"(?<=://)([^\s:/@\"'\\]*):[^\s/\"'\\]+(?=@)"), r"\1:…"),
    # NATS takes a name without a password for a token.
    (re.compile(r"(?i)\b((?:nats|tls)://)[^\s:/@\"'\\]+(?=@)"), r"\1…"),
    (re.compile(rf"(?is)({_NAMES}[\"'\\]*(?:\s*[=:]\s*|\s+)){_QUOTED}"), r"\1\2…"),
    (re.compile(rf"(?i)({_NAMES}[\"'\\]*\s*[=:]\s*[\"'\\]*)[^\s\"'\\]+"), r"\1…"),
)


def about_request(request_id: str | None, org_id: str | None = None) -> None:
    """From here on, in this task and those that it starts, each line says of which request it is; None: of none."""
    if request_id is None:
        _about.set(None)
        return
    _about.set({"request_id": request_id} if org_id is None else {"request_id": request_id, "org_id": org_id})


def about_org(org_id: str) -> None:
    """Whose request it is, once that is known."""
    about = _about.get()
    if about is not None:
        about["org_id"] = org_id


def request_in_hand() -> str | None:
    """The id of the request that lines are of here."""
    about = _about.get()
    return None if about is None else about["request_id"]


def without_secrets(text: str) -> str:
    """The text with keys, passwords and seeds blotted out, the public part of a whole key too."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def configure_logging(service: str, level: str) -> None:
    """Route structlog's and the standard library's loggers through one formatter, the service's name on each line; so
    goes what ends the process by an exception that nobody caught.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _merge_about,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if sys.stderr.isatty():
        render: list[structlog.typing.Processor] = [
            # Not the one that shows what every variable held.
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        ]
    else:
        render = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _WithoutSecrets(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    sys.excepthook = _log_crash


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger that takes fields: `log.info("stored", request_id=…)`."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


class _WithoutSecrets(structlog.stdlib.ProcessorFormatter):
    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(super().format(record))


def _merge_about(
    _: structlog.typing.WrappedLogger, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    for name, value in (_about.get() or {}).items():
        event.setdefault(name, value)
    if (trace := trace_id()) is not None:
        event.setdefault("trace_id", trace)
    return event


def _log_crash(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    get_logger(__name__).critical("crashed", exc_info=(kind, error, traceback))
