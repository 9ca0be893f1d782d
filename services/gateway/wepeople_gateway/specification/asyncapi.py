"""The AsyncAPI 3 document: the stream, the services' requests and replies, and what they tell everybody."""

import inspect
import re
from functools import cache
from importlib.metadata import version
from typing import Any

from msgspec import Struct
from pydantic import BaseModel

from wepeople_chassis.settings import ServiceSettings
from wepeople_chassis.tracing import TRACEPARENT
from wepeople_contracts.envelope import MSG_ID_HEADER
from wepeople_contracts.reply import Reply
from wepeople_contracts.subjects import NO_APP, PARTITIONS, STREAMS
from wepeople_gateway.specification.asyncapi_schemas import model_schemas, struct_schemas
from wepeople_gateway.specification.conversations import EXCHANGES, FACTS, SIGNALS, STORED, Exchange, Signal
from wepeople_gateway.specification.schemas import REF_TEMPLATE

Definition = dict[str, Any]

_PARAMETERS: dict[str, Definition] = {
    "stream": {"description": "A stream, which takes some of the partitions.", "enum": list(STREAMS)},
    "partition": {
        "description": f"A hash of the org: one of {PARTITIONS}, the whole ordered history of an org in one of them.",
        "enum": [str(partition) for partition in range(PARTITIONS)],
    },
    "org": {"description": "The org's id."},
    "app": {"description": f"The app's id; `{NO_APP}` in facts that belong to the whole org."},
    "service": {"description": "Which service.", "enum": ["gateway", "auth", "quota", "projector"]},
}
_INFO = {
    "title": "WePeople Ingest, inside",
    "description": "What travels over NATS. The streams are the truth and are read from their first message; "
    "requests and replies are between the services; facts are told to whoever listens. Operations are seen from the "
    "service that each names.",
}
_MSGPACK = "application/msgpack"
_STREAM_HEADERS = {
    "type": "object",
    "required": [MSG_ID_HEADER],
    "properties": {
        MSG_ID_HEADER: {"type": "string", "description": "The same id within ten minutes is stored once."},
        TRACEPARENT: {"type": "string", "description": "W3C trace context of who published it, where that is traced."},
    },
}


@cache
def asyncapi_document() -> dict[str, Any]:
    """The whole document. Shared: do not change it."""
    structs = list(dict.fromkeys(struct for stored in STORED for struct in stored.messages))
    replies = [_reply(exchange) for exchange in EXCHANGES]
    models = [*(e.request for e in EXCHANGES), *(r for r in replies if r is not None), *(f.message for f in FACTS)]
    references, of_models = model_schemas(models)
    of_structs = struct_schemas(structs)
    assert not of_models.keys() & of_structs.keys()
    messages = {struct.__name__: _stored_message(struct) for struct in structs}
    messages |= {_name(model): _model_message(model, references[model]) for model in references}
    messages |= {"Empty": {"summary": "An empty body.", "payload": {"type": "null"}}}
    messages |= {_reply_name(signal): {"payload": {"const": signal.reply}} for signal in SIGNALS if signal.reply}
    return {
        "asyncapi": "3.0.0",
        "info": _INFO | {"version": version("wepeople-gateway")},
        "defaultContentType": "application/json",
        "servers": {"nats": _server()},
        "channels": _channels(),
        "operations": _operations(),
        "components": {
            "parameters": _PARAMETERS,
            "messages": messages,
            "schemas": dict(sorted((of_structs | of_models).items())),
        },
    }


def _channels() -> dict[str, Definition]:
    channels: dict[str, Definition] = {}
    for stored in STORED:
        channels[stored.id] = _channel(stored.subject, *(struct.__name__ for struct in stored.messages))
    for exchange in EXCHANGES:
        channels[exchange.id] = _channel(exchange.subject, _name(exchange.request))
        if (reply := _reply(exchange)) is not None:
            channels[f"{exchange.id}Reply"] = _channel(None, _name(reply))
    for fact in FACTS:
        channels[fact.id] = _channel(fact.subject, _name(fact.message))
    for signal in SIGNALS:
        channels[signal.id] = _channel(signal.subject, "Empty")
        channels[f"{signal.id}Reply"] = _channel(None, _reply_name(signal))
    return channels


def _operations() -> dict[str, Definition]:
    operations: dict[str, Definition] = {}
    for stored in STORED:
        operations[stored.id] = _operation(stored.id, "send", f"{stored.service}: appends to the stream.")
    for exchange in EXCHANGES:
        summary = f"{exchange.service}: {inspect.getdoc(exchange.request)}"
        operations[exchange.id] = _operation(exchange.id, "receive", summary)
        if exchange.ok is not None:
            operations[exchange.id]["reply"] = _reply_to(f"{exchange.id}Reply")
    for fact in FACTS:
        operations[fact.id] = _operation(fact.id, "send", f"{fact.service}: {inspect.getdoc(fact.message)}")
    for signal in SIGNALS:
        operations[signal.id] = _operation(signal.id, "receive", f"{signal.service}: {signal.description}")
        operations[signal.id]["reply"] = _reply_to(f"{signal.id}Reply")
    return operations


def _server() -> Definition:
    url: str = ServiceSettings.model_fields["nats_url"].default
    protocol, _, host = url.partition("://")
    return {"host": host, "protocol": protocol, "description": "Unless WEPEOPLE_NATS_URL says otherwise."}


def _channel(address: str | None, *messages: str) -> Definition:
    channel: Definition = {
        "address": address,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
    }
    if names := re.findall(r"\{(\w+)\}", address or ""):
        channel["parameters"] = {name: {"$ref": f"#/components/parameters/{name}"} for name in names}
    return channel


def _operation(channel: str, action: str, description: str) -> Definition:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "description": description}


def _reply_to(channel: str) -> Definition:
    return {
        "address": {"location": "$message.header#/reply", "description": "The asker's inbox, by NATS itself."},
        "channel": {"$ref": f"#/channels/{channel}"},
    }


def _reply(exchange: Exchange) -> type[BaseModel] | None:
    return None if exchange.ok is None else Reply[exchange.ok]  # type: ignore[name-defined]


def _reply_name(signal: Signal) -> str:
    return f"{signal.id}Reply" if signal.reply else "Empty"


def _name(model: type[BaseModel]) -> str:
    return re.sub(r"\W+", "_", model.__name__).strip("_")


def _stored_message(struct: type[Struct]) -> Definition:
    return {
        "contentType": _MSGPACK,
        "summary": (inspect.getdoc(struct) or "").split("\n\n")[0],
        "headers": _STREAM_HEADERS,
        "payload": {"$ref": REF_TEMPLATE.format(name=struct.__name__)},
    }


def _model_message(model: type[BaseModel], payload: Definition) -> Definition:
    return {"summary": (inspect.getdoc(model) or "").split("\n\n")[0], "payload": payload}
