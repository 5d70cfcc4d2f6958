"""The answers of the stub of AWS: to SQS's sends and settle calls, and of a table in memory that stands for DynamoDB.

The table knows the expressions that shared/state/dynamo.py writes, and no others.
"""

import hashlib
import re
from collections.abc import Callable
from typing import Any

import orjson

Row = dict[str, dict[str, str]]

_CLAUSE = re.compile(r"(SET|ADD|REMOVE) (.+?)(?= (?:SET|ADD|REMOVE) |$)")


class _Refused(Exception):
    """A condition does not hold; `row` is the present row."""

    def __init__(self, row: Row) -> None:
        super().__init__()
        self.row = row


class AwsAnswers:
    """SQS and one table; each answer comes after `latency_s`."""

    def __init__(self, latency_s: float = 0) -> None:
        self._latency_s = latency_s
        self._rows: dict[tuple[str, str], Row] = {}
        self._sent = 0
        self._operations: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "SendMessage": self._send,
            "SendMessageBatch": self._send_batch,
            "ChangeMessageVisibilityBatch": self._accept_batch,
            "DeleteMessageBatch": self._accept_batch,
            "GetItem": self._get,
            "Query": self._query,
            "UpdateItem": self._update,
            "DeleteItem": self._delete,
        }

    def answer(self, _path: str, headers: dict[bytes, bytes], body: bytes) -> tuple[str, int, bytes, float]:
        operation = headers.get(b"x-amz-target", b"").decode().rpartition(".")[2]
        known = self._operations.get(operation)
        if known is None:
            return f"unknown {operation}", 400, b'{"__type":"UnknownOperation"}', 0
        try:
            return operation, 200, orjson.dumps(known(orjson.loads(body))), self._latency_s
        except _Refused as refused:
            said = {"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "Item": refused.row}
            return operation, 400, orjson.dumps(said), self._latency_s

    def _send(self, asked: dict[str, Any]) -> dict[str, Any]:
        self._sent += 1
        digest = hashlib.md5(asked["MessageBody"].encode(), usedforsecurity=False).hexdigest()
        return {"MD5OfMessageBody": digest, "MessageId": f"00000000-0000-4000-8000-{self._sent:012}"}

    def _send_batch(self, asked: dict[str, Any]) -> dict[str, Any]:
        sent = [{"Id": entry["Id"], **self._send(entry)} for entry in asked["Entries"]]
        return {"Successful": sent, "Failed": []}

    def _accept_batch(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"Successful": [{"Id": entry["Id"]} for entry in asked["Entries"]], "Failed": []}

    def _get(self, asked: dict[str, Any]) -> dict[str, Any]:
        row = self._rows.get(_key(asked))
        return {"Item": row} if row else {}

    def _query(self, asked: dict[str, Any]) -> dict[str, Any]:
        pk = asked["ExpressionAttributeValues"][":pk"]["S"]
        found = [row for (own, _), row in self._rows.items() if own == pk]
        return {"Items": found, "Count": len(found), "ScannedCount": len(found)}

    def _delete(self, asked: dict[str, Any]) -> dict[str, Any]:
        self._rows.pop(_key(asked), None)
        return {}

    def _update(self, asked: dict[str, Any]) -> dict[str, Any]:
        names, values = asked.get("ExpressionAttributeNames", {}), asked.get("ExpressionAttributeValues", {})
        row = dict(self._rows.get(_key(asked), {}))
        if not _holds(asked.get("ConditionExpression", ""), row, names, values):
            raise _Refused(row)
        for verb, parts in _CLAUSE.findall(asked["UpdateExpression"]):
            for part in re.split(r", (?=#)", parts):
                name = names[re.match(r"#\w+", part)[0]]  # type: ignore[index]
                if verb == "REMOVE":
                    row.pop(name, None)
                elif verb == "ADD":
                    before = int(row.get(name, {"N": "0"})["N"])
                    row[name] = {"N": str(before + int(values[part.split(" ")[1]]["N"]))}
                elif "if_not_exists" not in part:
                    row[name] = values[part.partition(" = ")[2]]
                else:
                    row.setdefault(name, values[f":{part[1:].partition(' ')[0]}"])
        self._rows[_key(asked)] = {**row, **asked["Key"]}
        return {"Attributes": self._rows[_key(asked)]}


def _key(asked: dict[str, Any]) -> tuple[str, str]:
    return asked["Key"]["pk"]["S"], asked["Key"]["sk"]["S"]


def _holds(condition: str, row: Row, names: dict[str, str], values: dict[str, Any]) -> bool:
    """Whether any of the terms between OR holds."""
    return any(_term_holds(term, row, names, values) for term in condition.split(" OR ")) if condition else True


def _term_holds(term: str, row: Row, names: dict[str, str], values: dict[str, Any]) -> bool:
    if term.startswith("attribute_not_exists("):
        return names[term[len("attribute_not_exists(") : -1]] not in row
    name, sign, value = term.split(" ")
    if names[name] not in row:
        return False
    have, wanted = int(row[names[name]]["N"]), int(values[value]["N"])
    return have == wanted if sign == "=" else have < wanted
